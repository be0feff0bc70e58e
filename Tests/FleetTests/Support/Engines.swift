import Foundation
import Glibc
import TestSupport

/// The real engines, started by `Tests/rgw` and `Tests/etcd`.
enum Engines {
    static let areInstalled =
        geteuid() == 0
        && ["ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "etcd"].allSatisfy {
            FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
        }

    static func script(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
            .appendingPathComponent(name).path
    }

    /// The prefix of a command that runs with a wrong clock (Debian's faketime). The command ends with it.
    static func clock(_ offset: String) -> [String] { ["faketime", "-f", offset, "setpriv", "--pdeathsig", "KILL"] }

    /// Runs a script until it has written a line.
    ///
    /// - Returns: the words of the line.
    @discardableResult
    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> [String] {
        let settings = environment.map { "\($0.key)=\($0.value)" }
        return try ChildProcess.daemon(["/usr/bin/env"] + settings + ["/bin/bash"] + arguments).line().split(
            separator: " "
        ).map(String.init)
    }
}

/// A Ceph in memory with a gateway, one for all tests; it ends with the process. Each test has a bucket of its own.
final class ObjectStore: Sendable {
    static let shared = Result { try ObjectStore() }

    let directory: TemporaryDirectory
    let port: Int
    /// The credentials in the environment.
    let credentials: [String: String]

    private init() throws {
        directory = try TemporaryDirectory()
        let words = try Engines.run([Engines.script("rgw"), "start", directory("ceph"), "\(getpid())"])
        port = Int(words[0])!
        credentials = ["AWS_ACCESS_KEY_ID": words[1], "AWS_SECRET_ACCESS_KEY": words[2], "AWS_REGION": "us-east-1"]
    }

    /// One more gateway, which a test may kill.
    ///
    /// - Parameter place: its address and port; a free port for 0.
    func gateway(_ place: String = "") throws -> (port: Int, process: pid_t) {
        let words = try Engines.run(
            [Engines.script("rgw"), "gateway", directory("ceph")] + (place.isEmpty ? [] : [place]))
        return (Int(words[0])!, pid_t(words[1])!)
    }
}

/// An etcd of the test's own.
final class Etcd: Sendable {
    let port: Int
    let url: String
    private let directory: String
    private let environment: [String: String]

    /// - Parameters:
    ///   - address: to listen at.
    ///   - certificate: for https.
    init(_ directory: String, address: String = "127.0.0.1", certificate: CertificateAuthority.Certificate? = nil)
        throws
    {
        self.directory = directory
        var environment = ["WEIGHTSTORE_ETCD_ADDRESS": address]
        if let certificate {
            environment["WEIGHTSTORE_ETCD_CERTIFICATE"] = certificate.chain
            environment["WEIGHTSTORE_ETCD_KEY"] = certificate.key
        }
        self.environment = environment
        port = Int(
            try Engines.run(
                [Engines.script("etcd"), "start", directory, "0", "\(getpid())"], environment: environment)[0])!
        url = "\(certificate == nil ? "http" : "https")://\(address):\(port)"
    }

    func kill() throws { try Engines.run([Engines.script("etcd"), "stop", directory]) }

    func restart() throws {
        try Engines.run(
            [Engines.script("etcd"), "start", directory, "\(port)", "\(getpid())"], environment: environment)
    }

    deinit {
        // It ends with the process, too.
        _ = try? Engines.run([Engines.script("etcd"), "stop", directory])
    }
}

/// Waits until a condition holds; one that never does ends the test.
func wait(for what: String, seconds: Double = 120, _ isSo: () throws -> Bool) throws {
    let end = ContinuousClock.now + .seconds(seconds)
    // Most conditions open a store or send requests: without growing pauses they would keep a core busy.
    var microseconds: UInt32 = 20_000
    while try !isSo() {
        if ContinuousClock.now > end { throw Waited(what: what) }
        usleep(microseconds)
        microseconds = min(microseconds * 3 / 2, 200_000)
    }
}

struct Waited: Error {
    let what: String
}
