import Hummingbird
import NIOCore
import WeightStore

/// Reads stored bytes and sends them to a client, piece by piece.
struct Pieces: Sendable {
    /// Large enough that the switches between threads cost little, small enough for thousands of clients at a time.
    static let bytes = 256 << 10

    let parts: Parts
    let threads: BlockingThreads

    /// The piece that begins at an offset.
    func piece(at offset: Int) async throws -> ByteBuffer {
        let stored = try await parts.part(at: offset)
        do {
            return try await read(stored, at: offset)
        } catch let error as StorageError where error.lostBlob != nil {
            // A blob was evicted since the part was opened, or is damaged.
            return try await read(parts.reopened(at: offset, after: error), at: offset)
        }
    }

    private func read(_ stored: StoredBytes, at offset: Int) async throws -> ByteBuffer {
        let count = min(Self.bytes, stored.range.upperBound - offset)
        return try await threads.run {
            var buffer = ByteBufferAllocator().buffer(capacity: count)
            _ = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { memory in
                try stored.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
            }
            return buffer
        }
    }

    /// Sends all pieces. While one is sent, only the next is read.
    ///
    /// - Parameter sent: called with the size of each piece that was sent.
    /// - Throws: as soon as the client has disconnected.
    func send(
        first: ByteBuffer, to writer: inout any ResponseBodyWriter, window: SendWindow, sent: @Sendable (Int) -> Void
    ) async throws {
        var piece = first
        var start = parts.range.lowerBound
        while true {
            let count = piece.readableBytes
            let end = start + count
            guard end < parts.range.upperBound else {
                try await window.reserve(count)
                try await writer.write(piece)
                try await window.drain()
                return sent(count)
            }
            async let next = self.piece(at: end)
            try await window.reserve(count)
            try await writer.write(piece)
            sent(count)
            piece = try await next
            start = end
        }
    }
}
