import ArgumentParser
import CLinux
import Files
import Glibc
import Logging
import Mount
import Origins
import WeightStore

struct MountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mount",
        abstract: "Mount the store: every program that opens files reads its models without a second copy.",
        discussion: """
            The files are directory/org/name/main/file, with any ref in place of main, or @ and a commit, a digest or a \
            version (@~3) for a revision that never changes. A model without an organization is in the directory _, and \
            a slash in a ref is written %2F. Everything is read-only.

            A revision is in use while one of its files is open. Bytes that are not stored are fetched when they are \
            read; the log has the reason if that fails. The command runs until SIGTERM, SIGINT or umount. Users other \
            than root need fusermount3, from the package fuse3.

            As mount.weightstore (a symbolic link in /sbin), it mounts entries of /etc/fstab: \
            "/var/lib/weightstore /mnt/models weightstore allow_other,nofail 0 0".
            """
    ).examples("mount /mnt/models", "mount --model org/llama@main /mnt/llama --detach")

    @Argument(help: "The directory; it must exist.", completion: .directory) var directory: String
    @Argument(
        help: ArgumentHelp("Only these models; shell patterns are allowed (default: all).", valueName: "model"),
        completion: .models)
    var models: [String] = []
    @Option(
        help: ArgumentHelp(
            "Mount one revision, with its files at the top of the directory: org/name@main.", valueName: "revision"),
        completion: .revisions)
    var model: String?
    @Flag(help: "Let other users read the files (others than root: needs user_allow_other in /etc/fuse.conf).")
    var allowOther = false
    @Flag(help: "Return once the directory is mounted; a process of its own serves it.") var detach = false
    @OptionGroup var logs: LogOptions
    @Option(help: ArgumentHelp("With --detach: append the log to this file.", valueName: "file"), completion: .file())
    var log: String?
    @Option(help: ArgumentHelp("A hub from which to fetch opened models that the store lacks.", valueName: "url"))
    var upstream: String?
    @Option(
        help: ArgumentHelp(
            "The time after which a ref is compared with that of the upstream: 30s, 10m.", valueName: "time"))
    var revalidate = TimeSpan(argument: "60s")!
    @Option(
        help: ArgumentHelp(
            "The time after which a read fails whose bytes cannot be fetched: 30s, 10m.", valueName: "time"))
    var timeout = TimeSpan(argument: "5m")!
    @Option(help: .hidden) var readyDescriptor: Int32?
    @OptionGroup var options: StoreOptions

    private struct Answer: Encodable {
        let directory: String
    }

    func validate() throws {
        if model != nil, !models.isEmpty {
            throw ValidationError("--model mounts one revision alone; name no other models with it")
        }
        if log != nil, !detach, readyDescriptor == nil {
            throw ValidationError("--log needs --detach; without it, the log is written to standard error")
        }
        try OptionRange.check("--revalidate", revalidate, 1...31_536_000, "60s is the default")
        try OptionRange.check("--timeout", timeout, 1...86_400, "5m is the default")
    }

    func run() throws {
        if detach {
            try DetachedProcess.start((WeightStoreTool.arguments() ?? []).filter { $0 != "--detach" })
            return try report(directory)
        }
        // Before there are threads: fetches for many readers would leave hundreds of megabytes in their arenas.
        clinux_return_freed_memory()
        let logger = logs.logger("weightstore.mount", atLeast: .notice)
        let store = try options.open(create: upstream != nil, log: logger)
        options.noteReadOnly(store)
        var settings = MountOptions()
        settings.models = models
        settings.revision = model
        settings.allowsOthers = allowOther
        settings.timeoutSeconds = Double(timeout.seconds)
        // An open file has blobs open, too.
        _ = OpenFiles.limit
        let mount = try StoreMount(
            store, at: directory, settings,
            pullThrough: try upstream.map {
                try UpstreamHub(store, url: $0, revalidateSeconds: Double(revalidate.seconds))
            }, logger: logger)
        let stop = Signals.onStop(isSuccess: true) { mount.stop() }
        // If the process is ended before that.
        Signals.whenEnded { mount.stop() }
        if let readyDescriptor {
            try DetachedProcess.reportReady(readyDescriptor, log: log)
        } else {
            try report(mount.path)
            ServiceManager.ready("mounted at \(mount.path)")
        }
        try mount.run()
        // Threads whose requests are not answered yet may keep the store.
        store.flush()
        withExtendedLifetime(stop) {}
    }

    private func report(_ directory: String) throws {
        try options.json ? Terminal.write(json: Answer(directory: directory)) : Terminal.write("\(directory)\n")
    }
}
