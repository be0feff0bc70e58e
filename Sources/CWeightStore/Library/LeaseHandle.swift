import CWeightStoreHeader
import Support
import Synchronization
import WeightStore

/// The value behind C's handle of a lease. The lease ends with the last user of the value: if another thread releases
/// the handle during a call, the bytes stay until the call returns.
final class LeaseHandle: HandleValue {
    static let kind = "lease"
    let lease: Lease
    let revision: RevisionHandle
    private let table = OnDemand<CTable<weightstore_tensor>>()
    private let privates = Mutex<[PrivatePages: PrivateMapping]>([:])
    /// For each tensor, which of its shard's writable mappings is its own.
    private let mappingNumbers = OnDemand<[Int]>()

    private struct PrivatePages: Hashable {
        let shard: ContentDigest
        let number: Int
    }

    init(_ lease: Lease, of revision: RevisionHandle) {
        self.lease = lease
        self.revision = revision
    }

    func tensors() throws -> [weightstore_tensor] {
        let formats = try revision.formats()
        let device = lease.tier.dlpackDevice
        return table.get {
            CTable { memory in
                lease.tensors.map { leased in
                    var tensor = weightstore_tensor(leased.entry, format: formats[ByteText(leased.entry.file)], memory)
                    tensor.data = lease.address(of: leased).flatMap { UnsafeRawPointer(bitPattern: UInt($0)) }
                    tensor.device_type = device.type
                    tensor.device_id = device.id
                    return tensor
                }
            }
        }.rows
    }

    func index(of name: String, in file: String?) throws -> Int {
        let index = lease.tensors.firstIndex { $0.entry.name == name && (file == nil || $0.entry.file == file) }
        guard let index else {
            throw StorageError.notFound(kind: "tensor", name: name, detail: "The lease does not contain it.")
        }
        return index
    }

    /// A writable mapping of a tensor's shard. Tensors that lie side by side in a shard share it. Tensors with the same
    /// bytes do not, so that a write to one never changes another.
    func privateMapping(ofTensor index: Int) throws -> PrivateMapping? {
        let tensor = lease.tensors[index]
        guard let digest = tensor.entry.shard else { return nil }
        let numbers = mappingNumbers.get { Self.disjointNumbers(lease.tensors.map(\.entry)) }
        let pages = PrivatePages(shard: digest, number: numbers[index])
        return try privates.withLock { privates in
            if let known = privates[pages] { return known }
            let mapping = try lease.privateMapping(of: tensor)
            privates[pages] = mapping
            return mapping
        }
    }

    /// A number for each tensor: those with one number in one shard do not overlap.
    private static func disjointNumbers(_ entries: [TensorEntry]) -> [Int] {
        var byShard: [ContentDigest: [Int]] = [:]
        for (index, entry) in entries.enumerated() where entry.bytes > 0 {
            if let shard = entry.shard { byShard[shard, default: []].append(index) }
        }
        var numbers = [Int](repeating: 0, count: entries.count)
        for indices in byShard.values where indices.count > 1 {
            // A number is free again where its tensor ends, so an end is before a start at the same position.
            var edges = indices.map { (position: entries[$0].shardOffset, order: 1, index: $0) }
            edges += indices.map { (position: entries[$0].shardOffset + entries[$0].bytes, order: 0, index: $0) }
            edges.sort { ($0.position, $0.order, $0.index) < ($1.position, $1.order, $1.index) }
            var (free, count): ([Int], Int) = ([], 0)
            for edge in edges {
                if edge.order == 0 {
                    free.append(numbers[edge.index])
                } else if let number = free.popLast() {
                    numbers[edge.index] = number
                } else {
                    numbers[edge.index] = count
                    count += 1
                }
            }
        }
        return numbers
    }
}
