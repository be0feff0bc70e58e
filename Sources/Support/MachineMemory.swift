import Glibc

/// The memory of the machine.
package enum MachineMemory {
    /// All of it, in bytes.
    package static var total: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

    /// The bytes that the kernel reports as available (`MemAvailable` in `/proc/meminfo`), page cache included; nil if it
    /// reports none.
    package static func available() -> Int? {
        guard let file = fopen("/proc/meminfo", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self).split(separator: " ")
            if words.count > 1, words[0] == "MemAvailable:", let kibibytes = Int(words[1]) { return kibibytes << 10 }
        }
        return nil
    }
}
