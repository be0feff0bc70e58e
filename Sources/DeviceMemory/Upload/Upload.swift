import Synchronization

/// An upload in progress.
package final class Upload: Sendable {
    private struct Load {
        let source: UploadSource
        let region: DeviceRegion
    }

    private struct State {
        /// nil once the upload has ended.
        var load: Load?
        /// Offset of the next piece.
        var next = 0
        /// Number of pieces that are being moved.
        var active = 0
        var failure: (any Error)?
        /// Whether the end was detected, which happens once.
        var isEnding = false
    }

    private let bytes: Int
    private let pieceBytes: Int
    private let line: UploadLine
    private let arrived: DeviceEvent
    private let queued: @Sendable (DeviceEvent) -> Void
    private let completion: @Sendable (Result<Void, any Error>) -> Void
    private let state: Mutex<State>

    init(
        _ source: UploadSource, bytes: Int, to region: DeviceRegion, on line: UploadLine, arrived: DeviceEvent,
        queued: @escaping @Sendable (DeviceEvent) -> Void,
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) {
        self.bytes = bytes
        pieceBytes =
            switch source {
            case .filling: line.ring.bufferBytes
            case .registered: bytes
            }
        self.line = line
        self.arrived = arrived
        self.queued = queued
        self.completion = completion
        state = Mutex(State(load: Load(source: source, region: region)))
    }

    /// The number of calls of `moveNextPiece` that the upload needs.
    var pieces: Int { bytes == 0 ? 1 : (bytes + pieceBytes - 1) / pieceBytes }

    /// Stops once the pieces that are being filled are done. If the last copy is already on the stream, the upload
    /// still completes.
    package func cancel() {
        note(CancellationError(), wasActive: false)
    }

    /// Moves the next piece, unless the upload has failed.
    func moveNextPiece() {
        let piece = state.withLock { state -> Range<Int>? in
            guard state.failure == nil, !state.isEnding else { return nil }
            let piece = state.next..<min(state.next + pieceBytes, bytes)
            state.next = piece.upperBound
            state.active += 1
            return piece
        }
        guard let piece else { return }
        var failure: (any Error)?
        do {
            try move(piece)
        } catch {
            failure = error
        }
        note(failure, wasActive: true)
    }

    private func move(_ piece: Range<Int>) throws {
        // Not nil as long as a piece is active.
        guard !piece.isEmpty, let load = state.withLock({ $0.load }) else { return }
        let target = load.region.address + piece.lowerBound
        switch load.source {
        case .filling(let fill):
            let buffer = try line.ring.acquire()
            try fill(UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<piece.count]), piece.lowerBound)
            try buffer.send(piece.count, to: target, on: line.stream)
        case .registered(let memory):
            try line.stream.copy(from: UnsafeRawBufferPointer(rebasing: memory.bytes[piece]), to: target)
        }
    }

    /// Records a finished piece or a failure. Ends the upload if nothing more will be put on the stream.
    private func note(_ error: (any Error)?, wasActive: Bool) {
        let (ends, failure) = state.withLock { state -> (Bool, (any Error)?) in
            if wasActive { state.active -= 1 }
            guard !state.isEnding else { return (false, nil) }
            state.failure = state.failure ?? error
            state.isEnding = state.active == 0 && (state.failure != nil || state.next == bytes)
            return (state.isEnding, state.failure)
        }
        guard ends else { return }
        if let failure { return endWhenStreamIsIdle(failure) }
        do {
            try line.stream.record(arrived)
        } catch {
            return endWhenStreamIsIdle(error)
        }
        queued(arrived)
        line.arrivals.submit { [self] in
            do {
                try arrived.synchronize()
                end(.success(()))
            } catch {
                line.stream.drain()
                end(.failure(error))
            }
        }
    }

    /// Waits first: copies that are already on the stream may still run and write to the region.
    private func endWhenStreamIsIdle(_ failure: any Error) {
        line.arrivals.submit { [self] in
            line.stream.drain()
            end(.failure(failure))
        }
    }

    private func end(_ result: Result<Void, any Error>) {
        releaseLoad()
        completion(result)
    }

    private func releaseLoad() {
        // The last references are released with this value, outside the lock.
        _ = state.withLock { state in
            defer { state.load = nil }
            return state.load
        }
    }
}
