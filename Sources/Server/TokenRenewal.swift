import Logging
import ServiceLifecycle

/// Polls for changed tokens while the server runs.
struct TokenRenewal: Service {
    /// The polling interval. A token that was removed is accepted for this time at most.
    private static let seconds = 5

    /// Returns the tokens if they have changed since the last call. Blocks.
    let changed: @Sendable () throws -> [AccessToken]?
    let responder: Responder
    let threads: BlockingThreads
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while true {
                do {
                    try await Task.sleep(for: .seconds(Self.seconds))
                } catch {
                    return
                }
                do {
                    guard let tokens = try await threads.run(changed) else { continue }
                    responder.setTokens(tokens)
                    logger.notice("the tokens have changed: \(tokens.count) are accepted")
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("\(error) The previous tokens stay in use.")
                }
            }
        }
    }
}
