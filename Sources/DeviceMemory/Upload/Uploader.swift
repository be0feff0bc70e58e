import Support
import Synchronization

/// Copies bytes to a device: while the bus copies one buffer, the next ones are being filled.
///
///     let uploader = try Uploader(device)
///     try await uploader.upload(.filling { buffer, offset in try file.read(at: offset, into: buffer) },
///                               bytes: shard.bytes, to: region)
///
/// An upload is divided into pieces of the size of a staging buffer. Filler threads process pieces first come, first
/// served: one large shard keeps all of them busy, and many small ones progress at once. A filler waits for a buffer,
/// calls the source to fill it, and enqueues its copy on the uploader's one stream. An event is recorded behind the
/// last piece; the arrivals thread waits for that event and ends the upload.
///
/// When an upload has ended, in whatever way, none of its copies is running, and it references neither source nor
/// region. The region is kept until then, so its memory is not reused while bytes are still arriving.
package final class Uploader: Sendable {
    package let device: any Device
    private let line: UploadLine
    private let fillers: WorkerThreads

    /// - Parameters:
    ///   - buffers: number of staging buffers; more than `fillers`, so that copying and filling overlap.
    ///   - bufferBytes: size of a buffer; large enough that the gaps between copies do not reduce throughput.
    ///   - fillers: number of pieces that are filled at the same time.
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

    /// Starts an upload.
    ///
    /// - Parameters:
    ///   - region: receives the bytes, from its beginning on.
    ///   - queued: called when the last copy is on the stream, on one of the uploader's threads; must return quickly.
    ///     The event completes when the bytes have arrived: a stream that waits for it may use them.
    ///   - completion: called once, on one of the uploader's threads, at the end: the bytes have arrived, or the source
    ///     or the device failed, or the upload was cancelled (`CancellationError`).
    /// - Throws: if the device cannot create an event; `completion` is then not called.
    package func start(
        _ source: UploadSource, bytes: Int, to region: DeviceRegion,
        queued: @escaping @Sendable (DeviceEvent) -> Void = { _ in },
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) throws(DeviceError) -> Upload {
        precondition(region.device === device, "the region is on \(region.device.name), not on \(device.name)")
        precondition(0...region.bytes ~= bytes, "\(bytes) bytes: must be between 0 and the region's \(region.bytes)")
        let upload = Upload(
            source, bytes: bytes, to: region, on: line, arrived: try DeviceEvent(device), queued: queued,
            completion: completion)
        for _ in 0..<upload.pieces { fillers.submit { upload.moveNextPiece() } }
        return upload
    }

    /// An event that completes when all copies that are queued now have run.
    package func mark() throws(DeviceError) -> DeviceEvent {
        let event = try DeviceEvent(device)
        try line.stream.record(event)
        return event
    }

    /// Uploads, and returns when the bytes have arrived.
    ///
    /// - Throws: the error of the source or the device, or `CancellationError`.
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
                    // The task may have been cancelled before `handle` was set.
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

/// Shared by the uploads of one uploader.
struct UploadLine: Sendable {
    let stream: DeviceStream
    let ring: StagingRing
    let arrivals: WorkerThreads
}
