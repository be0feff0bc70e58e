import Logging
import ServiceLifecycle

/// Polls for a renewed certificate while the server runs.
struct CertificateRenewal: Service {
    /// The polling interval. The bytes of the files are compared, so that they can be replaced in any way.
    private static let seconds = 5

    let certificate: ServerCertificate
    let threads: BlockingThreads
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while true {
                do {
                    try await Task.sleep(for: .seconds(Self.seconds))
                    switch try await threads.run({ certificate.look() }) {
                    case nil: break
                    case .renewed(let date):
                        logger.notice("\(certificate.certificatePath): renewed, valid until \(date)")
                    case .failed(let error): logger.warning("\(error) The previous certificate stays in use.")
                    }
                } catch {
                    // Cancelled.
                    return
                }
            }
        }
    }
}
