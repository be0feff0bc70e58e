import Hummingbird
import NIOCore

/// Stored bytes on their way to a client.
struct Pieces: Sendable {
    /// Large enough that the hops between threads cost little, small enough for thousands of clients at a time.
    static let bytes = 256 << 10

    let parts: Parts
    let threads: BlockingThreads

    /// The piece that begins at an offset.
    func piece(at offset: Int) async throws -> ByteBuffer {
        let stored = try await parts.part(at: offset)
        let count = min(Self.bytes, stored.range.upperBound - offset)
        return try await threads.run {
            var buffer = ByteBufferAllocator().buffer(capacity: count)
            _ = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { memory in
                try stored.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
            }
            return buffer
        }
    }

    /// Sends all of them. While one waits for the client, the next is read, and no more.
    ///
    /// - Parameter sent: is told the size of each piece that was taken.
    /// - Throws: if the client has gone away, at once.
    func send(
        first: ByteBuffer, to writer: inout any ResponseBodyWriter, window: SendWindow, sent: @Sendable (Int) -> Void
    ) async throws {
        var piece = first
        var start = parts.range.lowerBound
        while true {
            let count = piece.readableBytes
            let end = start + count
            guard end < parts.range.upperBound else {
                try await window.take(count)
                try await writer.write(piece)
                return sent(count)
            }
            async let next = self.piece(at: end)
            try await window.take(count)
            try await writer.write(piece)
            sent(count)
            piece = try await next
            start = end
        }
    }
}
