import Foundation
import ModelFormats
import Support
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// Shards whose files were deleted are fetched from an origin.
@Suite(.blocking) struct FetchTests {
    let directory = try! TemporaryDirectory()
    let model = TestModel(layers: 2)
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try model.write(to: directory("model"))
        try add("model", origins: ["file://\(directory("model"))"])
    }

    private func add(_ name: String, origins: [String]) throws {
        var request = ImportRequest(source: directory("model"), name: name)
        request.origins = origins
        // Some of these tests give the store origins with wrong bytes.
        request.trustsOrigins = true
        try store.importModelBlocking(request)
    }

    private func evictAll() throws {
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        #expect(try store.quotaBytes == 0)
    }

    private func digest(_ tensor: String = "model.embed_tokens.weight") throws -> ContentDigest {
        let digest = try store.revision("model").tensorEntries(named: tensor).first?.shard
        return try #require(digest)
    }

    /// Answers with the shards' bytes, in a scripted way.
    private struct ScriptedOrigin: Origin {
        let url: String
        let blobs: [ContentDigest: [UInt8]]
        let calls: Counter
        var change: @Sendable ([UInt8]) -> [UInt8] = { $0 }
        var backwards = false
        /// The number of bytes after which it stalls.
        var stallsAfter: Int?

        final class Counter: Sendable {
            let count = Atomic<Int>(0)
            /// The offsets that were requested.
            let starts = Mutex<[Int]>([])
        }

        struct Broken: Error {}

        func fetch(
            _ request: ShardRequest, _ work: Work,
            _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
        ) throws {
            calls.count.add(1, ordering: .relaxed)
            calls.starts.withLock { $0.append(request.start) }
            guard let whole = blobs[request.digest] else { throw Broken() }
            let bytes = change(whole)
            usleep(20_000)
            let pieces = stride(from: request.start, to: bytes.count, by: 100_000).map {
                ($0, min($0 + 100_000, bytes.count))
            }
            try bytes.withUnsafeBytes { bytes in
                for (begin, end) in backwards ? pieces.reversed() : pieces {
                    if let stallsAfter, begin >= stallsAfter {
                        while !work.isCancelled { usleep(1000) }
                        throw CancellationError()
                    }
                    try body(begin, UnsafeRawBufferPointer(rebasing: bytes[begin..<end]))
                }
            }
        }
    }

    private func blobs() throws -> [ContentDigest: [UInt8]] {
        var blobs: [ContentDigest: [UInt8]] = [:]
        for name in TemporaryDirectory.files(below: store.path + "/blobs") {
            if let digest = ContentDigest(hex: name.suffix(64)) {
                blobs[digest] = try contents("\(store.path)/blobs/\(name)")
            }
        }
        return blobs
    }

    @Test("reading a file, mapping a layer, and a lease in each tier fetch evicted shards")
    func everyWay() async throws {
        let whole = try contents(directory("model/model.safetensors"))
        try evictAll()
        try store.revision("model").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == whole)
        try evictAll()
        let layer = try store.revision("model").layer(1)
        #expect(layer.tensors.count == 4)
        for tier in TierTests.tiers {
            try store.open(tier, TierOptions(budget: 64 << 20))
            try evictAll()
            let lease = try await store.revision("model").lease(in: tier)
            for tensor in lease.tensors {
                let info = try #require(try model.info(tensor.entry.name))
                #expect(try lease.withUnsafeBytes(of: tensor) { Array($0) } == model.bytes(of: info))
            }
        }
    }

    @Test("a refetched shard starts with new counts, and records the cost of its fetch")
    func numbers() throws {
        try evictAll()
        let digest = try digest()
        try store.refetch(digest)
        let victim = try #require(try store.victims(of: .lru, count: 9).victims.first { $0.digest == digest })
        #expect(victim.accesses == 0)
        #expect(victim.fetchSeconds > 0 && victim.fetchSeconds < 30)
    }

    @Test("an origin that gives other bytes is skipped, and named if it is the only one")
    func mismatch() throws {
        let blobs = try blobs()
        let calls = ScriptedOrigin.Counter()
        store.register(scheme: "https") { url in
            ScriptedOrigin(url: url, blobs: blobs, calls: calls, change: { $0.dropLast() + [$0.last! ^ 1] })
        }
        try add("model", origins: ["https://hub.test/x", "file://\(directory("model"))"])
        try evictAll()
        let digest = try digest()
        try store.refetch(digest)
        #expect(calls.count.load(ordering: .relaxed) == 1)
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        let error = #expect(throws: StoreError.self) { try store.refetch(digest) }
        guard case .originDiffers("https://hub.test/x", digest, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try store.quotaBytes == 0)
        #expect(TemporaryDirectory.files(below: store.path + "/staging").isEmpty)
        #expect(throws: StoreError.self) { try store.revision("model").layer(0) }
    }

    @Test("a registered scheme is an origin; an unregistered one is refused by an import before it reads a byte")
    func newScheme() throws {
        let origin = "az://box/model"
        // A URL that would be refused if it were read.
        try directory.write("not a header", to: "bad/model.safetensors")
        var request = ImportRequest(source: directory("bad"))
        request.origins = [origin]
        let error = #expect(throws: FetchError.self) { try store.importModelBlocking(request) }
        guard case .unusable(origin, let reason) = error else { return #expect(Bool(false), "\(error!)") }
        #expect(reason == "unsupported origin scheme \"az\"; supported: file://")

        let blobs = try blobs()
        let calls = ScriptedOrigin.Counter()
        store.register(scheme: "az") { ScriptedOrigin(url: $0, blobs: blobs, calls: calls) }
        try add("model", origins: [origin])
        try evictAll()
        #expect(try store.revision("model").layer(1).tensors.count == 4)
        #expect(calls.count.load(ordering: .relaxed) > 0)
    }

    @Test("ranges that arrive out of order are accepted")
    func backwards() throws {
        let blobs = try blobs()
        store.register(scheme: "https") { url in
            ScriptedOrigin(url: url, blobs: blobs, calls: .init(), backwards: true)
        }
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        for digest in blobs.keys { try store.refetch(digest) }
        #expect(try store.verifyBlocking().damage.isEmpty)
        #expect(try self.blobs() == blobs)
    }

    @Test("an origin that fails is named with its error, and the next one is tried")
    func failing() throws {
        for scheme in ["https", "s3"] {
            store.register(scheme: scheme) { url in ScriptedOrigin(url: url, blobs: [:], calls: .init()) }
        }
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        let digest = try digest()
        #expect(throws: StoreError.originFailed(origin: "https://hub.test/x", digest: digest, reason: "Broken()")) {
            try store.refetch(digest)
        }
        store.register(scheme: "s3") { url in ScriptedOrigin(url: url, blobs: [:], calls: .init()) }
        try add("model", origins: ["s3://bucket/x", "file://\(directory("model"))"])
        try evictAll()
        try store.refetch(digest)
    }

    private struct FailingOrigin: Origin {
        let url: String
        let error: FetchError

        func fetch(
            _ request: ShardRequest, _ work: Work,
            _ body: (_ shardOffset: Int, UnsafeRawBufferPointer) throws -> Void
        ) throws { throw error }
    }

    @Test("if several origins fail, each is named with its cause, and the first fault that is not an absence decides")
    func severalFail() throws {
        let absent = FetchError.notFound(what: "file", url: "https://hub.test/x/file", status: 404)
        let silent = FetchError.stalled(url: "s3://bucket/x", seconds: 1, attempts: 1)
        let urls = ["https://hub.test/x", "s3://bucket/x", "file://\(directory("model"))"]
        for scheme in ["https", "s3"] {
            store.register(scheme: scheme) { url in ScriptedOrigin(url: url, blobs: [:], calls: .init()) }
        }
        try add("model", origins: urls)
        try evictAll()
        for (scheme, error) in [("https", absent), ("s3", silent)] {
            store.register(scheme: scheme) { url in FailingOrigin(url: url, error: error) }
        }
        try FileManager.default.removeItem(atPath: directory("model"))
        let digest = try digest()
        let thrown = #expect(throws: StoreError.self) { try store.refetch(digest) }
        let error = try #require(thrown)
        guard case .originsFailed(let failures) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(failures.map(\.origin) == urls)
        #expect(failures.map(\.isAbsence) == [true, false, false])
        #expect(error.cause == .fetch(silent))
        for failure in ["\(absent)", "\(silent)", "\(urls[2]): "] { #expect("\(error)".contains(failure)) }
    }

    /// Registers an origin that sends so many bytes of a shard, and then stalls.
    private func stall(_ calls: ScriptedOrigin.Counter, after bytes: Int?, _ blobs: [ContentDigest: [UInt8]]) {
        store.register(scheme: "https") { url in
            ScriptedOrigin(url: url, blobs: blobs, calls: calls, stallsAfter: bytes)
        }
    }

    private var partials: [Int] {
        TemporaryDirectory.files(below: store.path + "/partial").compactMap {
            try? contents("\(store.path)/partial/\($0)").count
        }
    }

    /// A work that is cancelled as soon as the condition holds.
    private func cancelled(when condition: @escaping @Sendable () -> Bool) throws -> Work {
        let work = Work()
        if condition() { work.cancel() }
        try startThread {
            while !work.isCancelled, !condition() { usleep(1000) }
            work.cancel()
        }
        return work
    }

    @Test("a cancelled fetch ends, and the next one resumes after the bytes that arrived")
    func cancelled() throws {
        let blobs = try blobs()
        let calls = ScriptedOrigin.Counter()
        stall(calls, after: 300_000, blobs)
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        let digest = try digest()
        #expect(throws: CancellationError.self) {
            // In the middle, when so many bytes have arrived.
            try store.refetch(digest, work: try cancelled { self.partials == [300_000] })
        }
        #expect(partials == [300_000])
        #expect(TemporaryDirectory.files(below: store.path + "/staging").isEmpty)
        #expect(try store.quotaBytes == 0)
        stall(calls, after: nil, blobs)
        try store.refetch(digest)
        #expect(calls.starts.withLock { $0 } == [0, 300_000])
        #expect(partials == [])
        #expect(try contents(store.blobs.path(digest)) == blobs[digest])
    }

    @Test("a wait for another caller's fetch is cancelled without cancelling the fetch")
    func cancelledWaiter() throws {
        let blobs = try blobs()
        stall(.init(), after: 300_000, blobs)
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        let digest = try digest()
        let ended = DispatchSemaphore(value: 0)
        try startThread { [store] in
            #expect(throws: CancellationError.self) { try store.refetch(digest) }
            ended.signal()
        }
        while partials != [300_000] { usleep(1000) }
        let other = try Store(at: store.path)
        #expect(throws: CancellationError.self) { try other.refetch(digest, work: try cancelled { true }) }
        // A process that is ending begins no fetch.
        store.stopFetching()
        ended.wait()
        #expect(throws: CancellationError.self) { try store.refetch(digest) }
        #expect(throws: CancellationError.self) { try store.revision("model").leaseBlocking(in: .ram) }
        other.register(scheme: "https") { url in ScriptedOrigin(url: url, blobs: blobs, calls: .init()) }
        try other.refetch(digest)
        #expect(partials == [])
    }

    @Test("wrong bytes that a failed origin left behind do not make the next origin fail")
    func wrongBeginning() throws {
        let blobs = try blobs()
        let (wrong, right) = (ScriptedOrigin.Counter(), ScriptedOrigin.Counter())
        store.register(scheme: "https") { url in
            ScriptedOrigin(
                url: url, blobs: blobs, calls: wrong, change: { [9, 9, 9] + $0.dropFirst(3) }, stallsAfter: 200_000)
        }
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        let digest = try digest()
        #expect(throws: CancellationError.self) {
            try store.refetch(digest, work: try cancelled { self.partials == [200_000] })
        }
        stall(right, after: nil, blobs)
        try store.refetch(digest)
        #expect(wrong.starts.withLock { $0 } == [0] && right.starts.withLock { $0 } == [200_000, 0])
        #expect(try contents(store.blobs.path(digest)) == blobs[digest])
    }

    @Test("of any number of concurrent requests, in two stores as of two processes, one fetches")
    func singleFlight() throws {
        let blobs = try blobs()
        let calls = ScriptedOrigin.Counter()
        let other = try Store(at: store.path)
        for store in [store, other] {
            store.register(scheme: "https") { url in ScriptedOrigin(url: url, blobs: blobs, calls: calls) }
        }
        try add("model", origins: ["https://hub.test/x"])
        try evictAll()
        let digest = try digest()
        let failures = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 8) { number in
            do {
                try (number % 2 == 0 ? store : other).refetch(digest)
            } catch {
                failures.withLock { $0 += 1 }
            }
        }
        #expect(failures.withLock { $0 } == 0)
        #expect(calls.count.load(ordering: .relaxed) == 1)
    }

    @Test("a shard that is lost without having been evicted is refetched, too; without an origin it is missing")
    func healed() throws {
        let digest = try digest()
        let path = store.blobs.path(digest)
        try FileManager.default.removeItem(atPath: path)
        #expect(try store.revision("model").tensor("model.embed_tokens.weight").bytes.count > 0)
        let local = try Store(at: directory("local"), create: true)
        try local.importModelBlocking(ImportRequest(source: directory("model")))
        try FileManager.default.removeItem(atPath: local.blobs.path(digest))
        #expect(throws: StorageError.missing(path: local.blobs.path(digest), digest: digest)) {
            try local.revision("model").tensor("model.embed_tokens.weight")
        }
    }

    @Test("a directory gives only files inside it, and a hub cache gives the snapshot of the commit")
    func places() throws {
        let secret = try directory.write("secret", to: "secret.txt")
        try FileManager.default.createSymbolicLink(atPath: directory("model/link"), withDestinationPath: secret)
        let origin = try DirectoryOrigin("file://\(directory("model"))")
        func fetch(_ origin: DirectoryOrigin, _ path: String) throws -> [UInt8] {
            var bytes: [UInt8] = []
            let request = ShardRequest(
                digest: ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0)), bytes: 4, model: "m",
                commit: "c0ffee",
                path: path, pieces: [.init(fileOffset: 0, shardOffset: 0, length: 4)])
            try origin.fetch(request, Work()) { _, run in bytes += run }
            return bytes
        }
        #expect(try fetch(origin, "config.json").count == 4)
        for path in ["link", "../secret.txt", "nothing", "tokenizer"] {
            #expect(throws: StoreError.self, "\(path)") { try fetch(origin, path) }
        }
        try directory.write("blob", to: "hub/blobs/1")
        try FileManager.default.createDirectory(
            atPath: directory("hub/snapshots/c0ffee"), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: directory("hub/snapshots/c0ffee/a file"), withDestinationPath: "../../blobs/1")
        #expect(try fetch(try DirectoryOrigin("file://\(directory("hub"))"), "a file") == Array("blob".utf8))
        #expect(throws: StorageError.self) { try DirectoryOrigin("file://host/x") }
        #expect(throws: StorageError.self) { try DirectoryOrigin("https://host/x") }
    }
}

extension TestModel {
    fileprivate func info(_ name: String) throws -> TensorInfo? {
        try SafetensorsWriter(tensors).tensors.first { $0.name == name }
    }
}
