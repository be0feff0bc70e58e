import Dispatch

/// Work on all processors.
enum Parallel {
    /// Calls `body` with 0, 1, … `units` - 1, on all processors if there is enough to do: `bytes` is what all units
    /// together read and write. Waking threads takes as long as moving some hundred KiB. Units share what they read,
    /// and no two write to the same memory: the compiler can't see that, every caller sees to it.
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

/// The rows of all heads, cut into pieces of about `bytes`: a unit of work is `rows(of: unit)` of head `head(of: unit)`.
struct Pieces {
    let units: Int
    private let perHead: Int
    private let size: Int
    private let rows: Int

    /// `rowBytes` is what a row costs; pieces begin at multiples of `multiple` rows.
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
