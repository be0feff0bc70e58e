import Logging
import ServiceLifecycle

/// Looks for a renewed certificate as long as the server runs.
struct CertificateRenewal: Service {
    /// Between looks at the files: their bytes are compared, so that it does not matter how they are replaced.
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
                    case .renewed(let date): logger.notice("\(certificate.certificatePath): renewed, until \(date)")
                    case .trouble(let error): logger.warning("\(error) The one that was there before is served with.")
                    }
                } catch {
                    // Cancelled.
                    return
                }
            }
        }
    }
}
