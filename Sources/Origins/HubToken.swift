import Foundation
import WeightStore

/// The token for the hub, from the same places as the hub's own client: `HF_TOKEN`, or a file located by
/// `HF_TOKEN_PATH`, `HF_HOME` or the user's cache directory.
public enum HubToken {
    /// Finds the token.
    ///
    /// - Returns: nil if there is none.
    /// - Throws: if the file exists and cannot be read.
    public static func find(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws -> String? {
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let token = clean(environment[name]) { return token }
        }
        let cache = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "") + "/.cache"
        let path = environment["HF_TOKEN_PATH"] ?? (environment["HF_HOME"] ?? cache + "/huggingface") + "/token"
        guard FileSystem.exists(path) else { return nil }
        return clean(String(decoding: try FileSystem.read(path, limit: 64 << 10), as: UTF8.self))
    }

    /// Checks that a secret can be sent in a header. The error does not contain it.
    ///
    /// - Throws: ``FetchError/badCredentials(url:reason:)``.
    static func check(_ secret: String?, for url: String, name: String = "access token") throws(FetchError) {
        guard secret?.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) ?? true else {
            throw .badCredentials(
                url: url, reason: "the \(name) must consist of printable ASCII characters without spaces")
        }
    }

    private static func clean(_ text: String?) -> String? {
        let token = text?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
        return token.isEmpty ? nil : token
    }
}
