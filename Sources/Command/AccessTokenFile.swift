import Foundation
import Server

/// The token that a server asks for: from a file, or the environment variable WEIGHTSTORE_TOKEN.
enum AccessTokenFile {
    /// - Parameter isShown: whether what is asked of others is shown to them, too, when they are asked.
    /// - Returns: nil if there is neither.
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
