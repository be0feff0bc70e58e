import Logging
import ServiceLifecycle

/// Looks for changed files while the server runs: tokens, a renewed certificate.
struct Renewal: Service {
    /// The polling interval. A token that was removed is accepted for this time at most.
    private static let seconds = 5

    /// Reads the files once, and logs a change. Blocks.
    private let look: @Sendable () -> Void
    private let threads: BlockingThreads

    private init(_ threads: BlockingThreads, look: @escaping @Sendable () -> Void) {
        self.threads = threads
        self.look = look
    }

    /// The bytes of the files are compared, so that they can be replaced in any way.
    init(of certificate: ServerCertificate, threads: BlockingThreads, logger: Logger) {
        self.init(threads) {
            switch certificate.look() {
            case nil: break
            case .renewed(let date): logger.notice("\(certificate.certificatePath): renewed, valid until \(date)")
            case .failed(let error): logger.warning("\(error) The previous certificate stays in use.")
            }
        }
    }

    /// - Parameter changed: returns the tokens if they have changed since the last call. Blocks.
    init(
        ofTokens changed: @escaping @Sendable () throws -> [AccessToken]?, of responder: Responder,
        threads: BlockingThreads, logger: Logger
    ) {
        self.init(threads) {
            do {
                guard let tokens = try changed() else { return }
                responder.setTokens(tokens)
                logger.notice("the tokens have changed: \(tokens.count) are accepted")
            } catch {
                logger.warning("\(error) The previous tokens stay in use.")
            }
        }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            do {
                while true {
                    try await Task.sleep(for: .seconds(Self.seconds))
                    try await threads.run(look)
                }
            } catch {
                // Cancelled.
            }
        }
    }
}
