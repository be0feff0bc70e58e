import CFUSE
import Glibc
import Logging
import Support
import Synchronization
import WeightStore

/// Answers the kernel's requests.
///
/// The threads that read the device answer what the catalog and the blobs have. What waits for a lock, an origin or an
/// upstream runs on other threads, so it delays no other reader.
final class MountServer: Sendable {
    /// The largest request to read, in bytes, and that to read ahead.
    private static let mostBytes = 1 << 20
    private static let readAheadBytes = 16 << 20
    /// A request without data to write has less than this many bytes.
    private static let requestBytes = 64 << 10
    /// The background requests that the kernel makes at a time: read-ahead of the mount.
    private static let background: UInt16 = 64

    let store: Store
    let tree: MountTree
    let upstream: Upstream?
    let nodes: NodeTable
    let files: MountedFiles
    let directories = DirectoryHandles()
    let attributes = MountAttributes()
    let logger: Logger
    let pending: PendingRequests
    private let timeoutSeconds: Double
    /// Wait for locks of the store.
    private let openers: WorkerThreads
    /// Wait for origins and upstreams.
    private let fetchers: WorkerThreads
    /// Reads blobs ahead.
    private let readers: WorkerThreads
    private let started = Mutex<(@Sendable () -> Void)?>(nil)

    init(
        _ store: Store, _ tree: MountTree, _ upstream: Upstream?, timeoutSeconds: Double, logger: Logger
    ) throws {
        self.store = store
        self.tree = tree
        self.upstream = upstream
        self.logger = logger
        nodes = NodeTable(root: tree.root)
        files = MountedFiles(store)
        self.timeoutSeconds = timeoutSeconds
        pending = PendingRequests(timeoutSeconds: timeoutSeconds)
        openers = try WorkerThreads(count: 2)
        fetchers = try WorkerThreads(count: 32)
        readers = try WorkerThreads(count: 1)
    }

    /// Calls `body` once, when the kernel has begun to use the mount.
    func onStart(_ body: @escaping @Sendable () -> Void) { started.withLock { $0 = body } }

    func noteReadAhead() {
        logger.notice("the kernel reads at most 128 KiB ahead on this mount, because only root can raise that")
    }

    /// Ends the requests that wait.
    func stop() {
        pending.stop()
        store.stopFetching()
    }

    // MARK: The loop

    /// Answers requests from a device until the file system is unmounted.
    func serve(_ device: FUSEDevice) {
        let memory = Buffer(bytes: Self.requestBytes)
        let data = Buffer(bytes: Self.mostBytes + Buffer.alignment)
        while true {
            switch device.next(into: memory.writableBytes(memory.capacity)) {
            case .unmounted: return
            case .failed(let code):
                logger.error("requests cannot be read: \(String(cString: strerror(code)))")
                return
            case .request(let count):
                guard let request = FUSERequest(memory.bytes(count)) else { continue }
                answer(request, FUSEReply(device: device, unique: request.unique), data)
            }
        }
    }

    private func answer(_ request: FUSERequest, _ reply: FUSEReply, _ data: Buffer) {
        switch request.operation {
        case FUSE_INIT: initialize(request, reply)
        case FUSE_LOOKUP: lookUp(request, reply)
        case FUSE_GETATTR: getAttributes(request, reply)
        case FUSE_OPEN: open(request, reply)
        case FUSE_READ: read(request, reply, data)
        case FUSE_RELEASE: release(request, reply)
        case FUSE_OPENDIR: openDirectory(request, reply)
        case FUSE_READDIR: readDirectory(request, reply, withAttributes: false)
        case FUSE_READDIRPLUS: readDirectory(request, reply, withAttributes: true)
        case FUSE_RELEASEDIR:
            if let argument = request.argument(fuse_release_in.self) { directories.close(argument.fh) }
            reply.succeed()
        case FUSE_STATFS: reportSpace(reply)
        case FUSE_GETXATTR: getExtendedAttribute(request, reply)
        case FUSE_LISTXATTR: listExtendedAttributes(request, reply)
        case FUSE_FORGET:
            if let argument = request.argument(fuse_forget_in.self) { nodes.forget(request.node, argument.nlookup) }
        case FUSE_BATCH_FORGET: forgetSeveral(request)
        case FUSE_INTERRUPT:
            if let argument = request.argument(fuse_interrupt_in.self) { pending.interrupt(argument.unique) }
        case FUSE_DESTROY: reply.succeed()
        // The kernel then answers by itself, and does not request it again.
        default: reply.fail(ENOSYS)
        }
    }

    private func initialize(_ request: FUSERequest, _ reply: FUSEReply) {
        // Of older kernels, the request is shorter.
        let size = 16
        guard request.arguments.count >= size else { return reply.fail(EPROTO) }
        let major = request.arguments.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
        let minor = request.arguments.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let offered = request.arguments.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
        // Before 7.23 the answer has another size; that kernel (3.15) is older than any that Swift runs on.
        guard major == UInt32(FUSE_KERNEL_VERSION), minor >= 23 else { return reply.fail(EPROTO) }
        let wanted =
            FUSE_ASYNC_READ | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_ASYNC_DIO
            | FUSE_MAX_PAGES
        var result = fuse_init_out()
        result.major = UInt32(FUSE_KERNEL_VERSION)
        result.minor = min(minor, UInt32(FUSE_KERNEL_MINOR_VERSION))
        result.max_readahead = UInt32(Self.readAheadBytes)
        result.flags = UInt32(bitPattern: wanted) & offered
        result.max_background = Self.background
        result.congestion_threshold = Self.background * 3 / 4
        result.max_write = 4096
        result.time_gran = 1_000_000_000
        result.max_pages = UInt16(Self.mostBytes / 4096)
        reply.send(result)
        let body = started.withLock { body in
            defer { body = nil }
            return body
        }
        body?()
    }

    private func forgetSeveral(_ request: FUSERequest) {
        guard let argument = request.argument(fuse_batch_forget_in.self) else { return }
        var rest = request.arguments.dropFirst(MemoryLayout<fuse_batch_forget_in>.size)
        for _ in 0..<argument.count {
            let size = MemoryLayout<fuse_forget_one>.size
            guard rest.count >= size else { return }
            let one = UnsafeRawBufferPointer(rebasing: rest.prefix(size)).loadUnaligned(as: fuse_forget_one.self)
            nodes.forget(one.nodeid, one.nlookup)
            rest = rest.dropFirst(size)
        }
    }

    // MARK: Waiting

    /// Where a request waits.
    enum Wait {
        case lock, origin
    }

    /// Answers a request on another thread. If its process is signalled, or the time is over, its work is cancelled.
    ///
    /// - Parameter name: for the log.
    func answerLater(
        _ reply: FUSEReply, _ name: String, on wait: Wait = .origin, for file: OpenFile? = nil,
        _ body: @escaping @Sendable (Work) throws -> Void
    ) {
        let request = pending.add(reply.unique, within: store.missWork)
        let job: @Sendable () -> Void = { [self] in
            do {
                try request.work.check()
                try body(request.work)
            } catch {
                let isCancelled = error is CancellationError
                if !pending.remove(reply.unique) {
                    if !isCancelled { logger.error("\(name): was answered, but could not be stored: \(error)") }
                } else if isCancelled && request.isLate {
                    file?.noteFailure()
                    logger.error("\(name): was not answered within \(Quantity.seconds(timeoutSeconds))")
                    reply.fail(EIO)
                } else {
                    if !isCancelled { file?.noteFailure() }
                    fail(reply, error, name)
                }
            }
            pending.remove(reply.unique)
        }
        switch wait {
        case .lock: openers.submit(job)
        case .origin:
            if let file { file.enqueue(job, for: .read, on: fetchers) } else { fetchers.submit(job) }
        }
    }

    /// Starts a fetch for which no request waits.
    func fetchAhead(_ range: Range<Int>, of file: OpenFile) {
        let work = Work(within: store.missWork)
        file.enqueue(
            { [logger] in
                do {
                    try file.fetch(range, after: nil, work) { _ in false }
                } catch {
                    // The read of these bytes reports it again.
                    if !work.isCancelled { logger.debug("\(file.name): \(error)") }
                }
            }, for: .readAhead, on: fetchers)
    }

    /// Reads the blobs ahead of a reader, on a thread of its own.
    func readAhead(_ range: Range<Int>, of handle: MountedFiles.Handle) {
        readers.submit { [self] in
            var start = range.lowerBound
            while true {
                // What was read meanwhile is in the mount's cache, and would be read again for nothing.
                start = max(start, handle.position)
                guard start < range.upperBound else { return }
                let piece = start..<min(start + ReadStream.pieceBytes, range.upperBound)
                do {
                    if let absent = try handle.file.readAhead(piece) { fetchAhead(absent, of: handle.file) }
                } catch {
                    return logger.debug("\(handle.file.name): \(error)")
                }
                start = piece.upperBound
            }
        }
    }

    // MARK: Errors

    /// Answers with an error, and logs the reason unless it is that a name does not exist.
    func fail(_ reply: FUSEReply, _ error: any Error, _ name: String) {
        switch error {
        case StorageError.notFound, StorageError.ambiguous, StorageError.invalid: reply.fail(ENOENT)
        case FetchError.notFound, FetchError.commitGone: reply.fail(ENOENT)
        case is CancellationError: reply.fail(EINTR)
        default:
            logger.error("\(name): \(error)")
            reply.fail(EIO)
        }
    }
}
