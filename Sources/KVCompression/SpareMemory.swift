import Glibc
import Synchronization

/// A few large pieces of memory that were freed, for the next result: layer after layer, they are of the same size, and
/// the kernel's clearing of fresh pages takes as long as filling them.
///
/// The kernel is told that it may take the pages back (`MADV_FREE`), and does so before it runs out of memory: what is
/// spare is in nobody's way, though it counts as resident until then.
enum SpareMemory {
    /// A huge page, in bytes.
    static let page = 2 << 20
    /// Smaller pieces are the allocator's affair.
    static let least = 4 << 20
    /// Keys and values of a layer, and what a method makes of them.
    private static let most = 4

    private struct Piece: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }

    private static let pieces = Mutex<[Piece]>([])

    /// A spare piece of at least `count` bytes, and not more than half of it for nothing.
    static func take(_ count: Int) -> (start: UnsafeMutableRawPointer, count: Int)? {
        guard count >= least else { return nil }
        let piece = pieces.withLock { pieces -> Piece? in
            let fits = pieces.indices.filter { pieces[$0].bytes.count >= count && pieces[$0].bytes.count / 2 <= count }
            let best = fits.min { pieces[$0].bytes.count < pieces[$1].bytes.count }
            return best.map { pieces.remove(at: $0) }
        }
        return piece.map { ($0.bytes.baseAddress!, $0.bytes.count) }
    }

    /// Keeps a piece, and frees the one that is kept longest if there are too many. False if the kernel doesn't take
    /// the advice: then the caller frees.
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
