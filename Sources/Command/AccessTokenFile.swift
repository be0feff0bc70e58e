import Foundation
import Logging
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

    /// Reads the token and the server's certificate again at each SIGHUP. An unusable one is logged, and the previous one
    /// stays in use.
    ///
    /// - Parameters:
    ///   - file: nil keeps the token of the environment.
    ///   - isShown: as in `read`.
    /// - Returns: the registration.
    static func reload(
        _ file: String?, isShown: Bool = false, into server: HubServer, _ logger: Logger
    ) -> Signals.Registration {
        Signals.onHangUp {
            do {
                try server.reload(token: file == nil ? nil : read(file, isShown: isShown))
                logger.notice("SIGHUP: the token and the certificate were read again")
            } catch {
                logger.warning("SIGHUP: \(error) The previous one stays in use.")
            }
        }
    }
}
