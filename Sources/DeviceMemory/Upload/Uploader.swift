import Support
import Synchronization

/// Brings bytes to a device: while the bus copies one buffer, the next ones are being filled.
///
///     let uploader = try Uploader(device)
///     try await uploader.upload(.filling { buffer, offset in try file.read(at: offset, into: buffer) },
///                               bytes: shard.bytes, to: region)
///
/// An upload is cut into pieces of a staging buffer. Filler threads take pieces, first come first served, so that one
/// large shard keeps all of them busy, and many small ones are under way at once. A filler waits for a buffer, has the
/// source fill it, and puts its copy on the uploader's one stream. When the last piece is there an event is recorded
/// behind it; the arrivals thread waits for that event, and ends the upload.
///
/// However an upload ends, by then no copy of its is under way and it holds nothing any more: neither source nor
/// region. The region is kept until then, so memory never goes to another while bytes are still coming in.
package final class Uploader: Sendable {
    package let device: any Device
    private let line: UploadLine
    private let fillers: WorkerThreads

    /// - Parameters:
    ///   - buffers: how many staging buffers; more than `fillers`, so that copying and filling overlap.
    ///   - bufferBytes: large enough that the bus does not notice the gaps.
    ///   - fillers: how many pieces are being filled at a time.
    package init(_ device: any Device, buffers: Int = 4, bufferBytes: Int = 16 << 20, fillers: Int = 2)
        throws(DeviceError)
    {
        self.device = device
        line = UploadLine(
            stream: try DeviceStream(device),
            ring: try StagingRing(device, buffers: buffers, bufferBytes: bufferBytes),
            arrivals: try WorkerThreads.forDevice(1))
        self.fillers = try WorkerThreads.forDevice(fillers)
    }

    /// Begins an upload.
    ///
    /// - Parameters:
    ///   - region: gets the bytes, from its beginning on.
    ///   - queued: called when the last copy is on the stream, on one of the uploader's threads, which must not be held
    ///     up. The event is complete when the bytes are there: a stream that waits for it may use them.
    ///   - completion: called once, on one of the uploader's threads, when all is over: the bytes have arrived, or the
    ///     source or the device failed, or the upload was cancelled (`CancellationError`).
    /// - Throws: if the device gives no event; `completion` is then not called.
    package func start(
        _ source: UploadSource, bytes: Int, to region: DeviceRegion,
        queued: @escaping @Sendable (DeviceEvent) -> Void = { _ in },
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) throws(DeviceError) -> Upload {
        precondition(region.device === device, "a region of \(region.device.name), an uploader of \(device.name)")
        precondition(0...region.bytes ~= bytes, "\(bytes) bytes into a region of \(region.bytes)")
        let upload = Upload(
            source, bytes: bytes, to: region, on: line, arrived: try DeviceEvent(device), queued: queued,
            completion: completion)
        for _ in 0..<upload.pieces { fillers.submit { upload.moveNextPiece() } }
        return upload
    }

    /// Uploads, and returns when the bytes have arrived.
    ///
    /// - Throws: what the source or the device throws, or `CancellationError`.
    package func upload(
        _ source: UploadSource, bytes: Int, to region: DeviceRegion,
        queued: @escaping @Sendable (DeviceEvent) -> Void = { _ in }
    ) async throws {
        try Task.checkCancellation()
        let handle = Mutex<Upload?>(nil)
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                do {
                    let upload = try start(source, bytes: bytes, to: region, queued: queued) {
                        continuation.resume(with: $0)
                    }
                    handle.withLock { $0 = upload }
                    // A cancellation that came before there was a handle.
                    if Task.isCancelled { upload.cancel() }
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        } onCancel: {
            handle.withLock { $0 }?.cancel()
        }
    }
}

/// What the uploads of one uploader share.
struct UploadLine: Sendable {
    let stream: DeviceStream
    let ring: StagingRing
    let arrivals: WorkerThreads
}
