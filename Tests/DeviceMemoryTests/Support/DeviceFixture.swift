import Dispatch
import Glibc
import Support
import Synchronization
import TestSupport
import Testing

@testable import DeviceMemory

/// The devices that every test runs on.
enum Kind: String, CaseIterable, Sendable {
    case host, cuda
}

/// A device whose copies can be held back.
final class DeviceFixture: Sendable {
    let double: CUDADouble?
    private let held = Atomic(false)
    private let begun = Atomic(0)

    init(_ kind: Kind) throws {
        double = kind == .cuda ? try CUDADouble() : nil
    }

    func open() throws -> any Device {
        if let double { return try double.open() }
        return HostDevice { [self] in
            while held.load(ordering: .acquiring) { usleep(100) }
            begun.add(1, ordering: .releasing)
        }
    }

    func hold() {
        double?.hold(true)
        held.store(true, ordering: .releasing)
    }

    func release() {
        double?.hold(false)
        held.store(false, ordering: .releasing)
    }

    /// How many copies have at least begun.
    var copiesBegun: Int {
        double?.log.count { $0.hasPrefix("copied") } ?? begun.load(ordering: .acquiring)
    }

    /// Checks that everything was freed, and that no forbidden call was made.
    func check(_ note: String = "", _ place: SourceLocation = #_sourceLocation) {
        guard let double else { return }
        // Threads release their values a moment after the last result is delivered.
        _ = try? blockUntil { double.live == 0 }
        #expect(double.live == 0, "\(note) leaves \(double.liveWords)", sourceLocation: place)
        #expect(double.violations == [], "\(note)", sourceLocation: place)
    }
}

/// Bytes that differ from place to place and from seed to seed.
func pattern(_ seed: Int, _ offset: Int = 0) -> UInt8 {
    UInt8(truncatingIfNeeded: (offset &* 31) ^ (offset >> 8) ^ (seed &* 101))
}

func pattern(_ seed: Int, bytes: Int) -> [UInt8] {
    (0..<bytes).map { pattern(seed, $0) }
}

/// The result of work on another thread.
final class Outcome: Sendable {
    private let result = Mutex<Result<Void, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    func set(_ result: Result<Void, any Error>) {
        self.result.withLock { $0 = result }
        done.signal()
    }

    func get() throws {
        done.wait()
        try result.withLock { $0 }!.get()
    }
}

/// Keeps `values` alive until here: the optimizer releases them after their last use, and a copy may take longer.
func keep(_ values: Any...) {
    withExtendedLifetime(values) {}
}

/// Runs `body` on several new threads, and waits for all.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
    let threads = try WorkerThreads(count: count)
    let outcomes = (0..<count).map { _ in Outcome() }
    for (index, outcome) in outcomes.enumerated() {
        threads.submit { outcome.set(Result { try body(index) }) }
    }
    for outcome in outcomes { try outcome.get() }
}

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
