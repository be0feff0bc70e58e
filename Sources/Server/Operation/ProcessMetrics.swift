import Glibc
import WeightStore

/// The metrics of this process, from `/proc`. One that cannot be read is left out.
enum ProcessMetrics {
    static func write(to text: inout Exposition) {
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        // Behind the name, which may contain spaces: the state is the third field of proc(5).
        let fields =
            KernelFile.text("/proc/self/stat")?.byteParts(")").last?.byteParts(" ").filter { !$0.isEmpty } ?? []
        func number(_ field: Int) -> Double? { fields.count > field - 3 ? Double(fields[field - 3]) : nil }
        if let start = number(22), let boot = bootTime, ticks > 0 { text.add(.processStart, boot + start / ticks) }
        if let user = number(14), let system = number(15), ticks > 0 { text.add(.processCPU, (user + system) / ticks) }
        if let pages = number(24) { text.add(.processResident, pages * Double(sysconf(Int32(_SC_PAGESIZE)))) }
        if let bytes = number(23) { text.add(.processVirtual, bytes) }
        if let files = try? FileSystem.entries("/proc/self/fd") { text.add(.processFiles, files.count) }
        text.add(.processMostFiles, OpenFiles.limit)
    }

    /// When the machine was started, in seconds since 1970.
    private static var bootTime: Double? {
        KernelFile.lines("/proc/stat").first { $0.hasBytePrefix("btime ") }.flatMap {
            Double($0.byteParts(" ").last ?? "")
        }
    }
}
