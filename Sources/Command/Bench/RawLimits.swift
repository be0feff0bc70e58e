import CLinux
import Dispatch
import Foundation
import Synchronization
import WeightStore

/// The machine's own limits in bytes per second, measured on the same bytes just before the benchmark.
struct RawLimits {
    /// Reads files with large aligned reads that bypass the page cache (`O_DIRECT`).
    static func directRead(_ paths: [String], threads: Int) throws -> Double {
        try read(paths, flags: Int32(clinux_O_DIRECT), threads: threads)
    }

    /// Reads files through the page cache into a buffer.
    static func bufferedRead(_ paths: [String], threads: Int) throws -> Double {
        try read(paths, flags: 0, threads: threads)
    }

    /// Copies memory, one thread.
    static func memoryCopy() -> Double {
        let bytes = 256 << 20
        let source = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4096)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4096)
        defer {
            source.deallocate()
            target.deallocate()
        }
        source.initializeMemory(as: UInt8.self, repeating: 1)
        target.initializeMemory(as: UInt8.self, repeating: 2)
        return best(of: 5) {
            target.copyMemory(from: UnsafeRawBufferPointer(source))
            return bytes
        }
    }

    /// Copies pinned memory to a device, one stream.
    static func pinnedCopy(_ device: any Device) throws -> Double {
        let bytes = 256 << 20
        let pinned = try PinnedMemory(device, bytes: bytes)
        pinned.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        let slab = try DeviceSlab(device, bytes: bytes)
        let stream = try DeviceStream(device)
        return try best(of: 5) {
            // The copies continue after the call has returned.
            try withExtendedLifetime((pinned, slab)) {
                try stream.copy(from: UnsafeRawBufferPointer(pinned.bytes), to: slab.address)
                try stream.synchronize()
            }
            return bytes
        }
    }

    private static func best(of runs: Int, _ body: () throws -> Int) rethrows -> Double {
        var rate = 0.0
        for _ in 0..<runs {
            let start = ContinuousClock.now
            let bytes = try body()
            rate = max(rate, Double(bytes) / ((ContinuousClock.now - start) / .seconds(1)))
        }
        return rate
    }

    private static func read(_ paths: [String], flags: Int32, threads: Int) throws -> Double {
        let piece = 4 << 20
        var pieces: [(descriptor: Int32, offset: Int)] = []
        var descriptors: [Int32] = []
        defer { for descriptor in descriptors { close(descriptor) } }
        for path in paths {
            let descriptor = open(path, O_RDONLY | flags)
            guard descriptor >= 0 else { throw FileError.system(operation: "open", path: path, code: errno) }
            descriptors.append(descriptor)
            let bytes = Int(lseek(descriptor, 0, SEEK_END))
            pieces += stride(from: 0, to: bytes, by: piece).map { (descriptor, $0) }
        }
        let next = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        let failure = Atomic<Int32>(0)
        let start = ContinuousClock.now
        DispatchQueue.concurrentPerform(iterations: threads) { [pieces] _ in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 4096)
            defer { buffer.deallocate() }
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < pieces.count else { return }
                let count = pread(pieces[index].descriptor, buffer.baseAddress, piece, off_t(pieces[index].offset))
                if count < 0 { failure.store(errno, ordering: .relaxed) }
                done.add(max(count, 0), ordering: .relaxed)
            }
        }
        let code = failure.load(ordering: .relaxed)
        guard code == 0 else { throw FileError.system(operation: "read", path: paths[0], code: code) }
        return Double(done.load(ordering: .relaxed)) / ((ContinuousClock.now - start) / .seconds(1))
    }
}
