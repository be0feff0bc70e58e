import Glibc

@testable import DeviceMemory

extension UploadSource {
    static func pattern(_ seed: Int) -> Self {
        .filling { buffer, offset in
            for index in 0..<buffer.count { buffer[index] = DeviceMemoryTests.pattern(seed, offset + index) }
        }
    }
}

extension Uploader {
    func start(_ source: UploadSource, to region: DeviceRegion) throws -> (Upload, Outcome) {
        let outcome = Outcome()
        return (try start(source, bytes: region.bytes, to: region) { outcome.set($0) }, outcome)
    }
}

/// Mapped memory with a pattern in it.
final class Pages: Sendable {
    private nonisolated(unsafe) let memory: UnsafeMutableRawBufferPointer

    init(_ bytes: Int) {
        let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        memory = UnsafeMutableRawBufferPointer(start: base, count: bytes)
        memory.copyBytes(from: pattern(77, bytes: bytes))
        mprotect(base, bytes, PROT_READ)
    }

    deinit { munmap(memory.baseAddress!, memory.count) }

    func bytes(from offset: Int = 0) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[offset...])
    }
}
