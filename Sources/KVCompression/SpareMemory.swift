import Glibc
import Synchronization

/// A few large pieces of memory that were freed, kept for the next result: the results of all layers have the same
/// size, and the kernel needs as long to clear fresh pages as it takes to fill them.
///
/// `MADV_FREE` allows the kernel to reclaim the pages, which it does before it runs out of memory: spare memory is
/// available to others, although it counts as resident until then.
enum SpareMemory {
    /// A huge page, in bytes.
    static let page = 2 << 20
    /// Smaller pieces are left to the allocator.
    static let least = 4 << 20
    /// The number of spare pieces: keys and values of a layer, and a method's results for both.
    private static let most = 4

    private struct Piece: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }

    private static let pieces = Mutex<[Piece]>([])

    /// Returns a spare piece of at least `count` bytes, and at most about twice as many.
    static func reuse(_ count: Int) -> (start: UnsafeMutableRawPointer, count: Int)? {
        guard count >= least else { return nil }
        let piece = pieces.withLock { pieces -> Piece? in
            let fits = pieces.indices.filter { pieces[$0].bytes.count >= count && pieces[$0].bytes.count / 2 <= count }
            let best = fits.min { pieces[$0].bytes.count < pieces[$1].bytes.count }
            return best.map { pieces.remove(at: $0) }
        }
        return piece.map { ($0.bytes.baseAddress!, $0.bytes.count) }
    }

    /// Keeps a piece; if there are too many, frees the one that was kept longest. Returns false if the kernel rejects
    /// the advice: the caller then frees the piece.
    static func keep(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
        guard madvise(bytes.baseAddress!, bytes.count, MADV_FREE) == 0 else { return false }
        let piece = Piece(bytes: bytes)
        let old = pieces.withLock { pieces -> Piece? in
            pieces.append(piece)
            return pieces.count > most ? pieces.removeFirst() : nil
        }
        if let old { free(old.bytes.baseAddress!) }
        return true
    }
}
