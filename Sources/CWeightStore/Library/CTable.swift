import CWeightStoreHeader
import WeightStore

/// Rows of one kind as C reads them.
final class CTable<Row>: Sendable {
    // Written in `init` alone; the pointers in the rows lead into `memory`, which is only read from then on.
    nonisolated(unsafe) let rows: [Row]
    private nonisolated(unsafe) let memory: CMemory

    init(_ make: (CMemory) throws -> [Row]) rethrows {
        let memory = CMemory()
        rows = try make(memory)
        self.memory = memory
    }
}

extension weightstore_tensor {
    init(_ entry: TensorEntry, format: String?, _ memory: CMemory) {
        self.init()
        let layout = TensorLayout(entry, format: format)
        name = memory.string(entry.name)
        dtype = memory.string(entry.dtype)
        file = memory.string(entry.file)
        stack = memory.string(entry.stack)
        layer = Int64(entry.layer ?? -1)
        expert = Int64(entry.expert ?? -1)
        rank = Int64(layout.shape.count)
        shape = UnsafePointer(memory.array(layout.shape))
        strides = UnsafePointer(layout.strides.flatMap { memory.array($0) })
        bytes = UInt64(entry.bytes)
        shard = memory.string(entry.shard?.hex)
    }
}

/// How the elements of a tensor lie, whatever file it comes from.
struct TensorLayout {
    /// The outermost dimension first.
    let shape: [Int]
    /// In elements; nil if they are packed in blocks.
    let strides: [Int]?

    init(_ entry: TensorEntry, format: String?) {
        // GGUF gives the innermost dimension first.
        let shape = format == "gguf" ? entry.shape.reversed() : entry.shape
        self.shape = shape
        let isPlain = DLPackType(entry.dtype) != nil
        strides = isPlain ? shape.indices.map { shape[($0 + 1)...].reduce(1) { $0 * max($1, 1) } } : nil
    }
}

extension Tier {
    /// DLPack's numbers.
    var dlpackDevice: (type: Int32, id: Int32) {
        switch self {
        case .ram, .device(.host): (1, 0)
        case .device(.cuda(let ordinal)): (2, Int32(ordinal))
        }
    }
}
