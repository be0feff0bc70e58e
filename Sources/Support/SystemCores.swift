import Glibc

/// The processors that this process may use.
package enum SystemCores {
    /// Their number when it was first requested.
    package static let count = current()

    /// The number of processors that are online and that the process may run on (sched_setaffinity(2), cpuset), or
    /// less if the quota of a control group gives it less time: a quota of 150 ms in 100 ms is that of two processors.
    ///
    /// - Parameter root: the directory that has `/proc` and `/sys`; another one in tests.
    /// - Returns: at least 1.
    package static func current(below root: String = "") -> Int {
        let machine = usable(root) ?? sysconf(Int32(_SC_NPROCESSORS_ONLN))
        return max(quotas(root).reduce(machine) { min($0, $1) }, 1)
    }

    /// - Returns: nil if the kernel reports no processors.
    private static func usable(_ root: String) -> Int? {
        let online = ranges(KernelFile.words("\(root)/sys/devices/system/cpu/online").first ?? "")
        let name = "Cpus_allowed_list:\t"
        let line = KernelFile.lines("\(root)/proc/self/status").first { $0.hasBytePrefix(name) }
        let allowed = ranges(line?.dropping(bytePrefix: name) ?? "")
        let count = allowed.saturatingSum { allowed in
            online.saturatingSum { online in
                guard allowed.overlaps(online) else { return 0 }
                let both = allowed.clamped(to: online)
                return (both.upperBound - both.lowerBound).adding(saturating: 1)
            }
        }
        return count > 0 ? count : nil
    }

    /// A list such as `0-3,8`.
    private static func ranges(_ list: String) -> [ClosedRange<Int>] {
        list.byteParts(",").compactMap { Quantity.parseRange($0) }
    }

    /// The processors for which the quotas of the control groups are sufficient, rounded up.
    private static func quotas(_ root: String) -> [Int] {
        ControlGroups(root: root).groups("cpu").compactMap { group in
            let quota: Int?
            let period: Int?
            switch group.version {
            case .one:
                // -1 without a limit.
                quota = KernelFile.number("\(group.path)/cpu.cfs_quota_us")
                period = KernelFile.number("\(group.path)/cpu.cfs_period_us")
            case .two:
                // `max 100000` without a limit.
                let words = KernelFile.words("\(group.path)/cpu.max").map { Int(decimal: $0) }
                guard words.count == 2 else { return nil }
                (quota, period) = (words[0], words[1])
            }
            guard let quota, let period, period > 0 else { return nil }
            return quota / period + (quota % period > 0 ? 1 : 0)
        }
    }
}
