import Dispatch

/// Runs work on all processors.
enum Parallel {
    /// Calls `body` with 0, 1, … `units` - 1, on all processors if the work is large enough: `bytes` counts the bytes
    /// that all units together read and write, and waking threads takes as long as copying several hundred KiB. Units
    /// may read the same memory, but no two may write to the same memory: the compiler cannot check that, so every
    /// caller ensures it.
    static func run(_ units: Int, bytes: Int, _ body: (Int) -> Void) {
        guard units > 1 && bytes >= 256 << 10 else {
            for unit in 0..<units { body(unit) }
            return
        }
        withoutActuallyEscaping(body) { body in
            nonisolated(unsafe) let shared = body
            DispatchQueue.concurrentPerform(iterations: units) { shared($0) }
        }
    }
}

/// The rows of all heads, divided into pieces of about `bytes`: a unit of work is `rows(of: unit)` of head
/// `head(of: unit)`.
struct Pieces {
    let units: Int
    private let perHead: Int
    private let size: Int
    private let rows: Int

    /// `rowBytes` is the cost of a row; pieces begin at multiples of `multiple` rows.
    init(heads: Int, rows: Int, rowBytes: Int, multiple: Int = 1, bytes: Int = 1 << 20) {
        let wanted = max(bytes / max(rowBytes, 1), 1)
        size = (wanted + multiple - 1) / multiple * multiple
        perHead = (rows + size - 1) / size
        units = heads * perHead
        self.rows = rows
    }

    func head(of unit: Int) -> Int { unit / perHead }

    func rows(of unit: Int) -> Range<Int> {
        let first = unit % perHead * size
        return first..<min(first + size, rows)
    }
}
