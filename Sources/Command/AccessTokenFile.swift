import Foundation
import Server

/// The access token that a server requires, from a file or the environment variable WEIGHTSTORE_TOKEN.
enum AccessTokenFile {
    /// - Parameter isShown: whether this process also sends the token to peers: then `WEIGHTSTORE_TOKEN` is set to it.
    /// - Returns: nil if neither is given.
    static func read(_ file: String?, isShown: Bool = false) throws -> AccessToken? {
        if let file {
            let text = try InputFile.text(file).trimmingCharacters(in: .whitespacesAndNewlines)
            let token = try AccessToken(text, source: file)
            if isShown { setenv("WEIGHTSTORE_TOKEN", text, 1) }
            return token
        }
        return try ProcessInfo.processInfo.environment["WEIGHTSTORE_TOKEN"]
            .map { try AccessToken($0, source: "WEIGHTSTORE_TOKEN") }
    }
}
