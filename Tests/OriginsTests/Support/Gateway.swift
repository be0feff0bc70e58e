import Foundation
import Glibc
import TestSupport

/// A RADOS gateway of the test's own: `Tests/rgw`.
final class Gateway: Sendable {
    static let isInstalled =
        ["ceph-mon", "ceph-mgr", "ceph-osd", "radosgw"].allSatisfy {
            FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
        } && geteuid() == 0

    let port: Int
    /// The credentials in the environment.
    let environment: [String: String]
    private let fixture: HubFixture
    private var directory: String { fixture.directory("ceph") }

    private static let script = URL(fileURLWithPath: HubServer.script).deletingLastPathComponent()
        .appendingPathComponent("rgw").path

    init(_ fixture: HubFixture) throws {
        self.fixture = fixture
        let words = try ChildProcess.daemon(["/bin/bash", Self.script, "start", fixture.directory("ceph")]).line()
            .split(
                separator: " "
            ).map(String.init)
        port = Int(words[0])!
        environment = [
            "AWS_ACCESS_KEY_ID": words[1], "AWS_SECRET_ACCESS_KEY": words[2],
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:\(port)",
        ]
    }

    deinit {
        // It writes nothing, so the line ends with the script.
        _ = try? ChildProcess.daemon(["/bin/bash", Self.script, "stop", directory]).line()
    }
}
