import Foundation
import Server

/// The token that a server asks for: from a file, or the environment variable WEIGHTSTORE_TOKEN.
enum AccessTokenFile {
    /// - Returns: nil if there is neither.
    static func read(_ file: String?) throws -> AccessToken? {
        if let file { return try AccessToken(String(contentsOfFile: file, encoding: .utf8), source: file) }
        return try ProcessInfo.processInfo.environment["WEIGHTSTORE_TOKEN"]
            .map { try AccessToken($0, source: "WEIGHTSTORE_TOKEN") }
    }
}
