import ArgumentParser
import Fleet
import Foundation
import Glibc
import Origins

/// The options that select a fleet, shared by all fleet commands.
struct FleetOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The bucket: s3://bucket/prefix (default: $WEIGHTSTORE_ORIGIN).", valueName: "url"))
    var origin: String?
    @Option(
        help: ArgumentHelp(
            "The addresses of etcd, separated by commas (default: $WEIGHTSTORE_ETCD; if empty, etcd is not used).",
            valueName: "urls"))
    var etcd: String?
    @Flag(help: "Allow plain http to other machines, as WEIGHTSTORE_INSECURE=1 does.")
    var insecure = false

    func validate() throws {
        // All code in this process that opens connections reads it.
        if insecure { setenv("WEIGHTSTORE_INSECURE", "1", 1) }
    }

    /// - Parameter given: the bucket, for commands with an option of their own for it.
    func fleet(_ given: String? = nil) throws -> Fleet {
        func setting(_ name: String) -> String? {
            ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        guard let origin = given ?? origin ?? setting("WEIGHTSTORE_ORIGIN") else {
            throw ValidationError("No bucket: give --origin s3://bucket/prefix, or set WEIGHTSTORE_ORIGIN.")
        }
        return try Fleet(origin: origin, etcd: etcd ?? setting("WEIGHTSTORE_ETCD"))
    }
}
