import Files
import Foundation
import Logging
import Server
import Support
import Synchronization

/// The access tokens that a server requires: of a file, or of the environment variable `WEIGHTSTORE_TOKEN`.
final class AccessTokenFile: Sendable {
    /// The variable that names the file.
    static let variable = "WEIGHTSTORE_TOKEN_FILE"

    private let path: String?
    /// Whether this process also sends a token to peers: then `WEIGHTSTORE_TOKEN` is set to it.
    private let isShown: Bool

    private struct State {
        var text: String?
        /// The last error that was returned by `changed`.
        var failure: String?
    }

    private let state = Mutex(State())

    /// - Parameter path: nil for the file that the environment names, if it names one.
    init(_ path: String?, isShown: Bool = false) {
        self.path = path ?? Self.named
        self.isShown = isShown
    }

    /// The file that the environment names.
    static var named: String? {
        ProcessInfo.processInfo.environment[variable].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Whether the file can be read again: it is no pipe. A file that cannot be examined cannot be read either.
    var isPolled: Bool { path.map { (try? FileSystem.status($0))?.isFile ?? false } ?? false }

    /// The tokens; nil if neither a file nor the variable gives one.
    ///
    /// - Throws: ``ServerError/token(source:reason:)``, also if the file has no token; ``FileError``.
    func read() throws -> [AccessToken]? {
        guard let path else {
            return try ProcessInfo.processInfo.environment["WEIGHTSTORE_TOKEN"]
                .map { [try AccessToken($0, source: "WEIGHTSTORE_TOKEN")] }
        }
        let tokens = try load(path)
        guard !tokens.isEmpty else { throw ServerError.token(source: path, reason: "the file has no token") }
        return tokens
    }

    /// The tokens if they have changed; nil if they have not, and after an error that was returned before. A file without
    /// a token means that no token is accepted any more.
    func changed() throws -> [AccessToken]? {
        guard let path else { return nil }
        do {
            let known = state.withLock { $0.text }
            guard try ByteText(InputFile.text(path)) != known.map({ ByteText($0) }) else {
                state.withLock { $0.failure = nil }
                return nil
            }
            return try load(path)
        } catch {
            let isKnown = state.withLock { state in
                defer { state.failure = "\(error)" }
                return state.failure == "\(error)"
            }
            if isKnown { return nil }
            throw error
        }
    }

    private func load(_ path: String) throws -> [AccessToken] {
        let text = try InputFile.text(path)
        let tokens = try AccessToken.all(in: text, source: path)
        if isShown, !tokens.isEmpty { try show(text, path) }
        state.withLock { $0 = State(text: text, failure: nil) }
        return tokens
    }

    /// Sends the first token that is in the file as it is, and not by its digest.
    private func show(_ text: String, _ path: String) throws {
        let lines = text.byteParts("\n").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
        let token = try lines.first { try !$0.isEmpty && AccessToken(line: $0, source: path).line == nil }
        guard let token else {
            throw ServerError.token(
                source: path,
                reason: "a node sends a token to its peers, so a line must be the token itself, and not its digest")
        }
        setenv("WEIGHTSTORE_TOKEN", token, 1)
    }

    /// Reads the tokens and the server's certificate again at each SIGHUP. An unusable file is logged, and the previous
    /// tokens stay in use.
    ///
    /// - Returns: the registration.
    func reload(into server: HubServer, _ logger: Logger) -> Signals.Registration {
        Signals.onHangUp { [self] in
            do {
                try server.reload(tokens: path.map(load))
                logger.notice("SIGHUP: the tokens and the certificate were read again")
            } catch {
                logger.warning("SIGHUP: \(error) The previous one stays in use.")
            }
        }
    }
}
