import Support
import TestSupport
import Testing

/// The limits of control groups, read from files as the kernel writes them.
@Suite(.blocking) struct SystemLimitsTests {
    private static let gib = 1 << 30
    private let root = try! TemporaryDirectory()

    /// Writes a machine with 16 GiB of memory, of which 8 are available, and 8 processors.
    ///
    /// - Parameters:
    ///   - groups: the content of `/proc/self/cgroup`.
    ///   - mounts: the hierarchies in `/proc/self/mountinfo`.
    ///   - files: below `/sys/fs/cgroup`.
    private func write(groups: String, mounts: String, _ files: [String: String] = [:]) throws {
        try root.write("MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n", to: "proc/meminfo")
        try root.write("Name:\ttest\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n", to: "proc/self/status")
        try root.write("0-7\n", to: "sys/devices/system/cpu/online")
        try root.write(groups, to: "proc/self/cgroup")
        let disk = "24 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n"
        try root.write(disk + mounts, to: "proc/self/mountinfo")
        for (name, text) in files { try root.write(text + "\n", to: "sys/fs/cgroup/" + name) }
    }

    private static let second =
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
    private static let first = """
        31 24 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
        36 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw

        """

    @Test("without a limit, the memory and the processors are the machine's")
    func unlimited() throws {
        try write(
            groups: "0::/user.slice\n", mounts: Self.second,
            [
                "user.slice/memory.max": "max", "user.slice/memory.high": "max", "user.slice/memory.current": "1000",
                "user.slice/cpu.max": "max 100000",
            ])
        #expect(SystemMemory.total(below: root.path) == 16 * Self.gib)
        #expect(SystemMemory.available(below: root.path) == 8 * Self.gib)
        #expect(SystemCores.current(below: root.path) == 8)
        // Version 1 writes a number as large as possible, and -1.
        try write(
            groups: "4:memory:/\n1:cpu,cpuacct:/\n0::/\n", mounts: Self.first,
            [
                "memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "1000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000",
            ])
        #expect(SystemMemory.available(below: root.path) == 8 * Self.gib)
        #expect(SystemCores.current(below: root.path) == 8)
    }

    @Test("version 2: the lowest limit of the group and its ancestors counts, and page cache is available")
    func versionTwo() throws {
        let files = [
            // The group at the top has no limit, and no files for one.
            "memory.stat": "anon 1",
            "a.slice/memory.max": "\(4 * Self.gib)", "a.slice/memory.high": "max",
            "a.slice/memory.current": "\(3 * Self.gib)",
            "a.slice/memory.stat":
                "anon 5\nactive_file \(Self.gib)\ninactive_file \(Self.gib / 2)\nslab_reclaimable \(Self.gib / 4)",
            "a.slice/cpu.max": "400000 100000",
            "a.slice/b/memory.max": "max", "a.slice/b/memory.current": "\(Self.gib)",
            "a.slice/b/cpu.max": "150000 100000",
        ]
        try write(groups: "0::/a.slice/b\n", mounts: Self.second, files)
        #expect(SystemMemory.total(below: root.path) == 4 * Self.gib)
        #expect(SystemMemory.available(below: root.path) == 4 * Self.gib - Self.gib * 5 / 4)
        #expect(SystemCores.current(below: root.path) == 2)
        // A container with a namespace for groups sees its own at the top. `memory.high` is a limit, too.
        try write(
            groups: "0::/\n", mounts: Self.second,
            [
                "memory.max": "max", "memory.high": "\(Self.gib)", "memory.current": "\(2 * Self.gib)",
                "cpu.max": "50000 100000",
            ])
        #expect(SystemMemory.total(below: root.path) == Self.gib)
        #expect(SystemMemory.available(below: root.path) == 0, "the use may be above the limit")
        #expect(SystemCores.current(below: root.path) == 1)
    }

    @Test("version 1: in a container the mounted group is the process's own, and limits above it count, too")
    func versionOne() throws {
        let mounts = """
            35 31 0:32 /docker/4e7 /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory
            36 31 0:29 /docker/4e7 /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct

            """
        let files = [
            "memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "\(Self.gib)",
            "memory/memory.stat":
                "cache 7\nhierarchical_memory_limit \(2 * Self.gib)\ninactive_file 9\n"
                + "total_inactive_file \(Self.gib / 4)\ntotal_active_file \(Self.gib / 4)",
            "cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000",
        ]
        for group in ["/docker/4e7", "/docker/4e7/", "/elsewhere", "/../../elsewhere"] {
            try write(groups: "4:memory:\(group)\n1:cpuacct,cpu:\(group)\n0::/\n", mounts: mounts, files)
            #expect(SystemMemory.total(below: root.path) == 2 * Self.gib, "\(group)")
            #expect(SystemMemory.available(below: root.path) == Self.gib * 3 / 2, "\(group)")
            #expect(SystemCores.current(below: root.path) == 3, "\(group)")
        }
        try write(
            groups: "4:memory:/a/b\n0::/a\n", mounts: Self.first,
            [
                "memory/a/memory.limit_in_bytes": "\(Self.gib)", "memory/a/memory.usage_in_bytes": "0",
                "memory/a/b/memory.limit_in_bytes": "\(3 * Self.gib)", "memory/a/b/memory.usage_in_bytes": "0",
            ])
        #expect(SystemMemory.available(below: root.path) == Self.gib)
    }

    @Test(
        "of the processors, those count that are online and in the process's affinity mask",
        arguments: [("0-7", "0-7", 8), ("0-1,4", "0-7", 3), ("0-127", "0-1", 2), ("3", "0-3,8-11", 1)])
    func affinity(allowed: String, online: String, count: Int) throws {
        try write(groups: "", mounts: "")
        try root.write("Cpus_allowed:\tff\nCpus_allowed_list:\t\(allowed)\n", to: "proc/self/status")
        try root.write(online + "\n", to: "sys/devices/system/cpu/online")
        #expect(SystemCores.current(below: root.path) == count)
    }

    @Test("what the kernel reports here is within what the machine has")
    func here() throws {
        let available = try #require(SystemMemory.available())
        #expect(available > 0 && available <= SystemMemory.total())
        #expect(SystemCores.current() >= 1)
    }

    @Test("lines of a table of mounts are parsed with their escapes, and others are skipped")
    func mounts() throws {
        let table = MountTable(lines: [
            #"36 35 0:98 /a\040b /mnt\134x rw,noatime master:1 shared:2 - fuse.sshfs me@host: rw,user_id=0"#,
            "36 35 98:0 / /mnt rw - ext4", "36 35 98 / /mnt rw - ext4 /dev/vda rw", "", "x",
            #"36 35 7:1 / /\999\04 rw - ext4 /dev/loop1 rw"#,
        ])
        #expect(table.mounts.map(\.point) == [#"/mnt\x"#, #"/\999\04"#])
        let mount = try #require(table.mounts.first)
        #expect(mount.major == 0 && mount.minor == 98 && mount.root == "/a b")
        #expect(mount.type == "fuse.sshfs" && mount.source == "me@host:" && mount.options == ["rw", "user_id=0"])
        #expect(MountTable().mounts.contains { $0.point == "/proc" })
    }
}
