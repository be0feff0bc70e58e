import Foundation
import TestSupport

/// `Tests/slow-client.py`: a client that reads a file slowly, or not at all.
final class SlowClient: Sendable {
    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("slow-client.py").path

    private let daemon: ChildProcess

    /// Returns when the answer has begun.
    ///
    /// - Parameter pace: bytes per second; 0 reads nothing.
    init(_ url: String, pace: Int, trusting authority: CertificateAuthority?) throws {
        daemon = try ChildProcess.daemon(
            ["/usr/bin/env", "python3", Self.script, url, "\(pace)"] + (authority.map { [$0.certificate] } ?? []))
        _ = try daemon.line()
    }

    /// Bytes of the file that arrived, when it or the connection has ended.
    func received() throws -> Int { Int(try daemon.line()) ?? -1 }
}
