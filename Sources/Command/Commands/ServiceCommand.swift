import ArgumentParser
import Foundation
import WeightStore

struct ServiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service", abstract: "Print units of systemd.", subcommands: [ServicePrint.self]
    ).examples("service print serve")
}

struct ServicePrint: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print",
        abstract: "Print the unit of serve, node, warm, mount, gc, evict or verify.",
        discussion: """
            gc, evict and verify are jobs: --timer prints the unit that starts them. The units run as a user of their own, \
            who must own the store; everything else is read-only to them. Their settings are in \
            /etc/weightstore/config.toml: serve.host, fleet.origin and the others of weightstore config show. A node \
            also needs the names of models: add them to ExecStart with systemctl edit.

            The unit of mount has no file system of its own, because other processes would not see the mount. Its user \
            needs fusermount3, and user_allow_other in /etc/fuse.conf.
            """
    ).examples(
        "service print serve | sudo tee /etc/systemd/system/weightstore.service",
        "service print gc --timer | sudo tee /etc/systemd/system/weightstore-gc.timer")

    @Argument(
        help: "serve, node, warm, mount, gc, evict or verify.",
        completion: .list(ServiceUnit.Name.allCases.map(\.rawValue)))
    var name: ServiceUnit.Name
    @Flag(help: "Print the timer of a job.") var timer = false
    @Option(help: ArgumentHelp("The user that owns the store.", valueName: "user")) var user = "weightstore"
    @Option(
        help: ArgumentHelp(
            "The store's directory (default: $WEIGHTSTORE_HOME, or /var/lib/weightstore).", valueName: "directory"),
        completion: .directory)
    var store: String?
    @Option(
        help: ArgumentHelp("The directory on which mount mounts the store.", valueName: "directory"),
        completion: .directory)
    var directory = "/mnt/models"
    @Option(
        help: ArgumentHelp("The path of weightstore in the unit (default: this program's).", valueName: "file"),
        completion: .file())
    var program: String?

    func validate() throws {
        if timer && !name.isJob {
            throw ValidationError("--timer: \(name.rawValue) is no job; gc, evict and verify have timers")
        }
        guard !user.isEmpty, user.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw ValidationError("--user \(user): must be the name of a user")
        }
    }

    func run() throws {
        let path = store ?? Setting.environment("WEIGHTSTORE_HOME") ?? "/var/lib/weightstore"
        let unit = ServiceUnit(
            name: name, program: program ?? Bundle.main.executablePath ?? "/usr/bin/weightstore",
            store: URL(fileURLWithPath: path).standardizedFileURL.path, user: user,
            directory: URL(fileURLWithPath: directory).standardizedFileURL.path)
        try Terminal.write(timer ? unit.timer : unit.service)
    }
}

extension ServiceUnit.Name: ExpressibleByArgument {}
