import Glibc
import Synchronization

/// The mappings of this process: the kernel allows `vm.max_map_count` of them, 65,530 by default, and a model of experts
/// has more shards.
///
/// Half of them are left to the rest of the process: engines, and thread stacks. Beyond that, small files are copied into
/// memory instead of being mapped: the kernel joins neighbouring anonymous memory to one mapping.
package enum MappingBudget {
    /// `vm.max_map_count`.
    package static let limit: Int = {
        // Without /proc, the kernel's default.
        let text = (try? FileSystem.read("/proc/sys/vm/max_map_count", limit: 64)) ?? []
        return Int(String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)) ?? 65_530
    }()

    /// The size up to which a file may be copied, in bytes: larger ones are few.
    private static let copiedBytes = 4 << 20

    private static let live = Atomic<Int>(0)

    /// Whether a file is to be copied. Otherwise the caller maps it, and ``release()`` ends that.
    static func reserveOrCopy(_ bytes: Int) -> Bool {
        if live.add(1, ordering: .relaxed).newValue <= limit / 2 || bytes > copiedBytes { return false }
        release()
        return true
    }

    /// Ends a mapping.
    static func release() { live.subtract(1, ordering: .relaxed) }

    /// Copies bytes of a file into memory of their own.
    ///
    /// - Parameter offset: the position of the first byte in the file.
    /// - Throws: ``FileError/mappingLimit(path:limit:)`` if the kernel allows no more.
    static func copy(
        _ file: borrowing FileDescriptor, from offset: Int = 0, bytes: Int
    ) throws(FileError) -> UnsafeMutableRawPointer {
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            if errno == ENOMEM { throw .mappingLimit(path: file.path, limit: limit) }
            throw .system(operation: "mmap", path: file.path, code: errno)
        }
        do throws(FileError) {
            let count = try file.read(at: offset, into: UnsafeMutableRawBufferPointer(start: memory, count: bytes))
            // The caller has compared the size: the file was cut meanwhile. Reading a mapping would raise SIGBUS.
            if count < bytes { throw .system(operation: "read", path: file.path, code: EIO) }
        } catch {
            munmap(memory, bytes)
            throw error
        }
        return memory
    }

    /// Unmaps memory. If it lies amid other memory and the kernel allows no further mapping, its pages are released and
    /// its addresses stay.
    static func unmap(_ address: UnsafeMutableRawPointer, _ bytes: Int) {
        if munmap(address, bytes) != 0 { madvise(address, bytes, MADV_DONTNEED) }
    }
}
