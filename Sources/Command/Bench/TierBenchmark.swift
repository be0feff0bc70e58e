import Foundation
import Synchronization
import WeightStore

/// Measures how fast a model loads into the tiers on this machine, beside the raw limits.
struct TierBenchmark {
    struct Figure: Encodable {
        let name: String
        /// Bytes per second; nil for latencies.
        var rate: Double?
        /// Seconds.
        let seconds: Double
        var bytes: Int?
        /// The figure to compare with, and this one as a share of it.
        var limit: String?
        var ratio: Double?
    }

    let store: String
    let model: String
    /// A fine-tune of the model that shares most of its shards.
    let tuned: String?
    let device: Tier?
    let runs: Int
    let report: (Figure) throws -> Void

    func run() throws {
        let paths = try shardPaths()
        let bytes = try openRevision { revision, _ in try revision.leaseBlocking(in: .ram).bytes }

        var disk = 0.0
        for threads in [1, 4] {
            let direct = try median("raw: direct read, \(Quantity.count(threads, "thread"))", bytes) {
                dropCaches(paths)
                return try RawLimits.directRead(paths, threads: threads)
            }
            let buffered = try median("raw: read through the page cache, \(Quantity.count(threads, "thread"))", bytes) {
                dropCaches(paths)
                return try RawLimits.bufferedRead(paths, threads: threads)
            }
            disk = max(disk, direct, buffered)
        }
        let copy = RawLimits.memoryCopy()
        try report(Figure(name: "raw: memcpy, 1 thread", rate: copy, seconds: Double(bytes) / copy, bytes: bytes))

        try load("disk → ram, cold", to: .ram, cold: paths, limit: ("the fastest raw read", disk))
        try load("page cache → ram", to: .ram, cold: nil, limit: nil)
        if let device {
            guard case .device(let name) = device else { return }
            let pinned = try RawLimits.pinnedCopy(name.open())
            try report(
                Figure(
                    name: "raw: pinned copy to \(device)", rate: pinned, seconds: Double(bytes) / pinned, bytes: bytes))
            try load("page cache → \(device)", to: device, cold: nil, limit: ("the pinned copy", pinned))
            try load(
                "disk → \(device), cold", to: device, cold: paths,
                limit: ("the slower of disk and bus", min(disk, pinned)))
        }
        for tier in [Tier.ram] + (device.map { [$0] } ?? []) {
            try hits(in: tier)
            if let tuned { try activation(of: tuned, in: tier) }
        }
    }

    private func openRevision<Result>(_ body: (Revision, Store) throws -> Result) throws -> Result {
        // Its uses would make the model popular for weeks.
        let store = try Store(at: store, create: false, countsUses: false, trace: nil)
        return try body(try store.revision(model), store)
    }

    private func shardPaths() throws -> [String] {
        try openRevision { revision, store in
            Set(try revision.tensorEntries().compactMap(\.shard)).map { store.blobPath($0) }.sorted()
        }
    }

    /// Drops the files' pages from the page cache. The kernel drops them because they are clean and not mapped.
    private func dropCaches(_ paths: [String]) {
        for path in paths {
            let descriptor = open(path, O_RDONLY)
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
            close(descriptor)
        }
    }

    private func median(_ name: String, _ bytes: Int, _ body: () throws -> Double) throws -> Double {
        let rates = try (0..<runs).map { _ in try body() }.sorted()
        let rate = rates[rates.count / 2]
        try report(Figure(name: name, rate: rate, seconds: Double(bytes) / rate, bytes: bytes))
        return rate
    }

    private func load(_ name: String, to tier: Tier, cold: [String]?, limit: (name: String, rate: Double)?) throws {
        var seconds: [Double] = []
        var bytes = 0
        for _ in 0..<runs {
            if let cold { dropCaches(cold) }
            try openRevision { revision, store in
                try store.open(tier)
                _ = try revision.residency(in: tier)
                let start = ContinuousClock.now
                let lease = try revision.leaseBlocking(in: tier)
                seconds.append((ContinuousClock.now - start) / .seconds(1))
                bytes = lease.bytes
            }
        }
        let time = seconds.sorted()[seconds.count / 2]
        let rate = Double(bytes) / time
        try report(
            Figure(
                name: name, rate: rate, seconds: time, bytes: bytes, limit: limit?.name,
                ratio: limit.map { rate / $0.rate }))
    }

    /// The time to acquire and release a lease on a resident tensor or layer.
    private func hits(in tier: Tier) throws {
        try openRevision { revision, _ in
            let whole = try revision.leaseBlocking(in: tier)
            let layer = try revision.residency(in: tier).last?.layer ?? 0
            let tensor = whole.tensors[0].entry.name
            for threads in [1, 2] {
                let time = try hit(threads) { _ in try revision.leaseBlocking(tensor: tensor, in: tier) }
                try report(
                    Figure(name: "hit in \(tier): a tensor, \(Quantity.count(threads, "thread"))", seconds: time))
            }
            for threads in [1, 2] {
                let time = try hit(threads) { _ in try revision.leaseBlocking(layer: layer, in: tier) }
                try report(Figure(name: "hit in \(tier): a layer, \(Quantity.count(threads, "thread"))", seconds: time))
            }
            let time = try hit(2) { thread in try revision.leaseBlocking(layer: max(layer - thread, 0), in: tier) }
            try report(Figure(name: "hit in \(tier): two layers, 2 threads", seconds: time))
        }
    }

    private func hit(_ threads: Int, _ lease: @escaping @Sendable (_ thread: Int) throws -> Lease) throws -> Double {
        let batch = 1000
        let medians = Mutex<[Double]>([])
        let failure = Mutex<(any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            do {
                var times: [Double] = []
                for _ in 0..<200 {
                    let start = ContinuousClock.now
                    for _ in 0..<batch { _ = try lease(thread) }
                    times.append((ContinuousClock.now - start) / .seconds(1) / Double(batch))
                }
                let median = times.sorted()[times.count / 2]
                medians.withLock { $0.append(median) }
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
        return medians.withLock { $0.max()! }
    }

    /// The time to load a fine-tune while its base is resident, against the fine-tune alone.
    private func activation(of tuned: String, in tier: Tier) throws {
        var alone: [Double] = []
        var beside: [(seconds: Double, bytes: Int)] = []
        var bytes = 0
        for _ in 0..<runs {
            try openRevision { _, store in
                try store.open(tier)
                let revision = try store.revision(tuned)
                _ = try revision.residency(in: tier)
                let start = ContinuousClock.now
                bytes = try revision.leaseBlocking(in: tier).bytes
                alone.append((ContinuousClock.now - start) / .seconds(1))
            }
            try openRevision { base, store in
                try store.open(tier)
                let held = try base.leaseBlocking(in: tier)
                let before = store.gauges[0].loaded
                let revision = try store.revision(tuned)
                _ = try revision.residency(in: tier)
                let start = ContinuousClock.now
                _ = try revision.leaseBlocking(in: tier)
                beside.append(((ContinuousClock.now - start) / .seconds(1), store.gauges[0].loaded - before))
                held.release()
            }
        }
        let whole = alone.sorted()[alone.count / 2]
        let part = beside.sorted { $0.seconds < $1.seconds }[beside.count / 2]
        try report(
            Figure(name: "fine-tune in \(tier), alone", rate: Double(bytes) / whole, seconds: whole, bytes: bytes))
        try report(
            Figure(
                name: "fine-tune in \(tier), beside its base", seconds: part.seconds, bytes: part.bytes,
                limit: "the time of the whole", ratio: part.seconds / whole))
    }
}
