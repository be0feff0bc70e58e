import Storage
import Support

/// Deleted blobs that a process maps: their bytes stay on the disk until the process unmaps them or ends.
public struct DeletedMapping: Sendable, Codable {
    /// The id and the command of the process.
    public let process: String
    /// The number of blobs.
    public let blobs: Int
    /// Their size in bytes, rounded up to whole pages. Of a blob that is mapped in part, the size up to the end of that.
    public let bytes: Int
}

extension DeletedMapping {
    /// The deleted files below a directory that a process maps.
    ///
    /// - Parameters:
    ///   - lines: those of its `/proc/<pid>/maps`, whose format is in proc_pid_maps(5).
    /// - Returns: nil if there are none.
    init?(of process: String, lines: [String], below directory: String) {
        var sizes: [String: Int] = [:]
        for line in lines where line.hasByteSuffix(" (deleted)") {
            // 7f0c8a000000-7f0c8a100000 r--s 00000000 fe:00 4711     /store/blobs/ab/ab12… (deleted)
            let fields = line.byteParts(" ", maxSplits: 5)
            guard fields.count == 6, let slash = fields[5].utf8.firstIndex(of: UInt8(ascii: "/")),
                String(fields[5][slash...]).hasBytePrefix(directory + "/")
            else { continue }
            let ends = fields[0].byteParts("-").map { Int($0, radix: 16) }
            guard ends.count == 2, let start = ends[0], let end = ends[1], let offset = Int(fields[2], radix: 16),
                start < end
            else { continue }
            let file = "\(fields[3]) \(fields[4])"
            sizes[file] = max(sizes[file] ?? 0, offset.adding(saturating: end - start))
        }
        if sizes.isEmpty { return nil }
        self.init(process: process, blobs: sizes.count, bytes: sizes.values.saturatingSum { $0 })
    }
}

extension Store {
    /// The deleted blobs of the store that processes still map: of those that have the store open, this one included,
    /// and whose mappings this process may read, which are those of its own user, or of all if it is root.
    ///
    /// A process maps what is in its tier `ram`, what its leases and tensors hold, and what it reads at this moment.
    /// ``clear(_:)`` in that process unmaps what no lease holds; the store does so, too, some seconds after a removal.
    public func deletedMappings() throws -> [DeletedMapping] {
        var seen: Set<String> = []
        return try leases.holders().compactMap { holder in
            // The name of a lease begins with the process id; a process has one lease for each open store.
            guard let process = holder.lease.byteParts("-").first, Int(decimal: process) != nil,
                seen.insert(process).inserted
            else { return nil }
            return DeletedMapping(
                of: holder.process, lines: KernelFile.lines("/proc/\(process)/maps"), below: blobs.root)
        }
    }
}
