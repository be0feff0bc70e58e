import CFUSE
import Dispatch
import Files
import Glibc
import Logging
import Origins
import Support
import Synchronization
import WeightStore

/// A store, mounted read-only: engines that open paths read its files without a second copy.
///
///     let mount = try StoreMount(store, at: "/mnt/models", logger: logger)
///     mount.run()     // until stop() or umount
///
/// The kernel's protocol (`linux/fuse.h`) is spoken directly, without libfuse: replies are written from the buffer into
/// which the blob was read, each thread has a queue of its own in the kernel, and neither the build nor the machine needs
/// a library.
public final class StoreMount: Sendable {
    /// The mounted directory: absolute, without symbolic links.
    public var path: String { point.path }

    private let point: MountPoint
    private let device: FUSEDevice
    private let server: MountServer
    private let threads: Int
    private let isStopped = Atomic(false)
    private let ended = DispatchSemaphore(value: 0)

    /// Mounts; requests wait for ``run()``. The mount of a server that was killed is replaced.
    ///
    /// - Parameters:
    ///   - directory: an existing directory; what it contains is hidden meanwhile.
    ///   - pullThrough: adds what is opened and the store lacks; nil for the store's models alone.
    ///   - logger: receives the reasons of failed reads.
    /// - Throws: ``MountError``, `FileError`, ``StorageError/notFound(kind:name:detail:)`` for a model or revision that is to
    ///   be shown.
    public init(
        _ store: Store, at directory: String, _ options: MountOptions = MountOptions(),
        pullThrough: (any PullThrough)? = nil, logger: Logger
    ) throws {
        let tree = try MountTree(
            store, models: options.models, revision: options.revision, hasUpstream: pullThrough != nil)
        // Found now, so that a mistyped name is an error, unless the upstream may have it.
        if let revision = options.revision, pullThrough == nil { _ = try store.identity(of: revision) }
        point = try MountPoint(directory, source: store.path)
        threads = max(options.threads, 1)
        server = try MountServer(
            store, tree, pullThrough.map { Upstream($0, store, logger) }, timeoutSeconds: options.timeoutSeconds,
            logger: logger)
        device = try point.mount(allowsOthers: options.allowsOthers)
    }

    /// Serves the mount. Blocks until it is unmounted, by ``stop()`` or by `umount`.
    ///
    /// - Throws: ``SupportError/noThread(code:)``.
    public func run() throws {
        server.onStart { [point, server] in
            // For others than root, the kernel's 128 KiB stay.
            if !point.setReadAhead(kibibytes: 16 << 10) { server.noteReadAhead() }
        }
        for number in 0..<threads {
            let device = number == 0 ? device : device.clone() ?? device
            try startThread { [server, ended] in
                server.serve(device)
                ended.signal()
            }
        }
        for _ in 0..<threads {
            ended.wait()
            // Files that are still open keep the connection, and their readers get errors when the process ends.
            if isStopped.load(ordering: .sequentiallyConsistent) { break }
        }
        server.stop()
    }

    /// Unmounts, ends the fetches, and lets ``run()`` return.
    public func stop() {
        isStopped.store(true, ordering: .sequentiallyConsistent)
        server.stop()
        point.unmount()
        ended.signal()
    }
}
