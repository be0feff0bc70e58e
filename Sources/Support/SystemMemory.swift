import Glibc

/// The memory that this process may use: the machine's, or less if a control group limits it.
package enum SystemMemory {
    private struct Limit {
        let bytes: Int
        /// The use by all processes of the group, without what the kernel can reclaim.
        let used: Int
    }

    /// The most bytes that this process may use: the machine's memory, or the lowest limit of its control groups.
    ///
    /// - Parameter root: the directory that has `/proc` and `/sys`; another one in tests.
    package static func total(below root: String = "") -> Int {
        let machine = field("MemTotal:", root) ?? sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        return limits(root).reduce(machine) { min($0, $1.bytes) }
    }

    /// The bytes that this process can still use without swapping: `MemAvailable` of the machine, or what the limit of a
    /// control group leaves. Both count page cache as available, because the kernel reclaims it.
    ///
    /// - Parameter root: as in ``total(below:)``.
    /// - Returns: nil if the kernel reports none of them.
    package static func available(below root: String = "") -> Int? {
        let left = limits(root).map { max($0.bytes - $0.used, 0) }
        return (left + [field("MemAvailable:", root)].compactMap { $0 }).min()
    }

    /// The bytes of all files of the machine that wait to be written to a disk; nil if the kernel does not report them.
    package static var dirtyBytes: Int? { field("Dirty:", "") }

    /// A value of `/proc/meminfo`, in bytes.
    private static func field(_ name: String, _ root: String) -> Int? {
        for line in KernelFile.lines("\(root)/proc/meminfo") {
            guard let rest = line.dropping(bytePrefix: name) else { continue }
            return rest.byteParts(" ").first { !$0.isEmpty }.flatMap { Int(decimal: $0) }?
                .multiplied(saturating: 1024)
        }
        return nil
    }

    private static func limits(_ root: String) -> [Limit] {
        ControlGroups(root: root).groups("memory").compactMap { group in
            func number(_ name: String) -> Int? { KernelFile.number("\(group.path)/\(name)") }
            var statistics: [ByteText: Int] = [:]
            for line in KernelFile.lines("\(group.path)/memory.stat") {
                let words = line.byteParts(" ")
                if words.count == 2 { statistics[ByteText(words[0])] = Int(decimal: words[1]) }
            }
            let limits: [Int?]
            let used: Int?
            let reclaimable: [ByteText]
            switch group.version {
            case .one:
                // Also the lowest limit of the groups above, which a container does not see.
                limits = [number("memory.limit_in_bytes"), statistics["hierarchical_memory_limit"]]
                used = number("memory.usage_in_bytes")
                reclaimable = ["total_inactive_file", "total_active_file"]
            case .two:
                // Above `memory.high` the kernel slows the processes down until they hardly run.
                limits = [number("memory.max"), number("memory.high")]
                used = number("memory.current")
                reclaimable = ["inactive_file", "active_file", "slab_reclaimable"]
            }
            guard let limit = limits.compactMap({ $0 }).min(), let used else { return nil }
            let free = reclaimable.saturatingSum { statistics[$0] ?? 0 }
            return Limit(bytes: limit, used: max(used.subtracting(saturating: free), 0))
        }
    }
}
