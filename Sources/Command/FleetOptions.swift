import ArgumentParser
import Fleet
import Foundation
import Glibc
import Origins

/// Which fleet: what every command about one takes.
struct FleetOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The bucket: s3://bucket/prefix (default: $WEIGHTSTORE_ORIGIN).", valueName: "url"))
    var origin: String?
    @Option(
        help: ArgumentHelp(
            "etcd's addresses, with commas between (default: $WEIGHTSTORE_ETCD; none: without etcd).", valueName: "urls"
        ))
    var etcd: String?
    @Flag(help: "Allow plain http to other machines, as WEIGHTSTORE_INSECURE=1 does.")
    var insecure = false

    func validate() throws {
        // For everything in this process that opens connections.
        if insecure { setenv("WEIGHTSTORE_INSECURE", "1", 1) }
    }

    /// - Parameter given: the bucket, if the command has a name of its own for it.
    func fleet(_ given: String? = nil) throws -> Fleet {
        func setting(_ name: String) -> String? {
            ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        guard let origin = given ?? origin ?? setting("WEIGHTSTORE_ORIGIN") else {
            throw ValidationError("Which bucket? Say --origin s3://bucket/prefix, or set WEIGHTSTORE_ORIGIN.")
        }
        return try Fleet(origin: origin, etcd: etcd ?? setting("WEIGHTSTORE_ETCD"))
    }
}
