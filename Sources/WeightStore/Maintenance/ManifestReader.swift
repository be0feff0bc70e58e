import Dispatch
import Storage
import Support
import Synchronization

/// Reads and checks manifests on threads, a few ahead of the one that is inserted.
final class ManifestReader {
    private let digests: [ContentDigest]
    private let blobs: BlobDirectory
    private let threads: WorkerThreads
    private var submitted = 0
    private var ahead: ArraySlice<Pending> = []

    /// A manifest that a thread reads.
    private final class Pending: Sendable {
        let result = Mutex<Result<Manifest, any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
    }

    /// The most manifests in memory: one that is inserted, and one for each other processor. A large one has 100 MB.
    private static let most = min(max(SystemCores.count, 2), 4)

    /// - Parameter digests: the manifests, in the order in which they are requested.
    /// - Throws: ``SupportError/noThread(code:)``.
    init(_ digests: [ContentDigest], _ blobs: BlobDirectory) throws {
        self.digests = digests
        self.blobs = blobs
        threads = try WorkerThreads(count: Self.most - 1)
        while submitted < min(digests.count, Self.most - 1) { submit() }
    }

    private func submit() {
        let (pending, digest) = (Pending(), digests[submitted])
        threads.submit { [blobs] in
            let result = Result { try Store.manifest(of: digest, blobs) }
            pending.result.withLock { $0 = result }
            pending.done.signal()
        }
        ahead.append(pending)
        submitted += 1
    }

    /// The next manifest. Call it once for each digest.
    ///
    /// - Throws: ``StorageError`` if it is missing, damaged or malformed; ``FileError`` if it cannot be read.
    func next() throws -> Manifest {
        let pending = ahead.removeFirst()
        pending.done.wait()
        if submitted < digests.count { submit() }
        return try pending.result.withLock { result in
            defer { result = nil }
            // The thread has set it before its signal.
            return try result!.get()
        }
    }
}
