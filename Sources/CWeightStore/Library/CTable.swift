import CWeightStoreHeader
import WeightStore

/// Rows of one kind in C's form.
final class CTable<Row>: Sendable {
    // Written only in `init`. The rows point into `memory`, which is only read afterwards.
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
        dtype = memory.sharedString(entry.dtype)
        file = memory.sharedString(entry.file)
        stack = memory.sharedString(entry.stack)
        layer = Int64(entry.layer ?? -1)
        expert = Int64(entry.expert ?? -1)
        rank = Int64(layout.shape.count)
        shape = memory.sharedArray(layout.shape)
        strides = layout.strides.flatMap { memory.sharedArray($0) }
        bytes = UInt64(clamping: entry.bytes)
        shard = entry.shard.map { memory.sharedString($0) }
        shard_offset = entry.shard == nil ? 0 : UInt64(clamping: entry.shardOffset)
    }
}
