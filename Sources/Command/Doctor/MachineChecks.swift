import CLinux
import DeviceMemory
import Glibc
import WeightStore

/// Huge pages, with which large loads map fewer pages.
enum HugePagesCheck: DoctorCheck {
    static let name = "huge pages"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled"
        let words = KernelFile.words(path)
        if words.isEmpty {
            findings.note("this kernel has none", fix: nil)
        } else if words.contains("[never]") {
            findings.note("switched off", fix: "echo madvise | sudo tee \(path)")
        } else {
            findings.ok(words.joined(separator: " "))
        }
    }
}

/// The limit of locked memory, which the RAM tier needs on request, and pinned buffers of GPUs.
enum LockedMemoryCheck: DoctorCheck {
    static let name = "memlock"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(clinux_RLIMIT_MEMLOCK), &limit)
        if limit.rlim_cur == rlim_t.max || geteuid() == 0 { return findings.ok("unlimited") }
        let text = "at most \(Quantity.bytes(Int(clamping: limit.rlim_cur))) of memory can be locked"
        if limit.rlim_cur < 1 << 30 {
            findings.note(text, fix: "sudo prlimit --pid $$ --memlock=unlimited")
        } else {
            findings.ok(text)
        }
    }
}

/// The limit of mappings, of which a leased model needs one per shard.
enum MappingsCheck: DoctorCheck {
    static let name = "mappings"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        let limit = MappingBudget.limit
        let shards = try subject.store?.stats().shards ?? 0
        if limit / 2 < min(shards, 65_530) {
            findings.note(
                "vm.max_map_count is \(limit), and the store has \(shards) shards: many are copied instead of mapped",
                fix: "sudo sysctl vm.max_map_count=1048576")
        } else {
            findings.ok("vm.max_map_count is \(limit)")
        }
    }
}

/// The driver of NVIDIA's GPUs.
enum CUDACheck: DoctorCheck {
    static let name = "CUDA"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        do {
            _ = try CUDALibrary()
            findings.ok("the driver opens")
        } catch {
            let isExpected =
                FileSystem.exists("/dev/nvidia0") || Setting.environment(CUDALibrary.variable) != nil
            if isExpected {
                findings.fault("\(error)", fix: "nvidia-smi")
            } else {
                findings.ok("this machine has no GPU of NVIDIA")
            }
        }
    }
}

/// FUSE, which `weightstore mount` needs.
enum FUSECheck: DoctorCheck {
    static let name = "FUSE"
    private static let device = "/dev/fuse"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard FileSystem.exists(device) else {
            return findings.note("\(device) does not exist: no mounts", fix: "sudo modprobe fuse")
        }
        if let code = FileSystem.writeProblem(device) {
            return findings.note("\(device): \(FileError.text(of: code)): no mounts", fix: "sudo chmod 666 \(device)")
        }
        let search = Setting.environment("PATH") ?? "/usr/bin:/bin"
        let hasHelper = search.split(separator: ":").contains { FileSystem.exists("\($0)/fusermount3") }
        if geteuid() != 0, !hasHelper {
            return findings.note("fusermount3 is not installed: only root can mount", fix: "sudo apt-get install fuse3")
        }
        findings.ok("available")
    }
}
