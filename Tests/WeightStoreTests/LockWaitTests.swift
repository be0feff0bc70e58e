import Glibc
import Synchronization
import TestSupport
import Testing
@testable import Files
@testable import Storage
@testable import Tiers
@testable import WeightStore

/// Waits for locks in the library: they end with their work, and report the process that holds the lock.
@Suite(.blocking) struct LockWaitTests {
    let directory = try! TemporaryDirectory()

    @Test("a wait for a lock ends when its work is cancelled, and after its time-out")
    func ends() throws {
        let path = try directory.write("", to: "lock")
        let holder = try FileDescriptor(path, O_RDWR)
        #expect(try holder.tryLock())
        let waiting = try FileDescriptor(path, O_RDWR)
        let work = Work()
        work.cancel()
        #expect(throws: CancellationError.self) { _ = try waiting.lock(LockWait(work)) }
        #expect(throws: CancellationError.self) { _ = try waiting.lock(shared: true, LockWait().until(work)) }
        #expect(try !waiting.lock(LockWait(within: .milliseconds(10))))
        // A free lock is acquired nevertheless: a store that is closing writes its counts.
        holder.unlock()
        #expect(try waiting.lock(LockWait(work)))
    }

    @Test("opening a store and resolving a name end with their work while a process holds the lock of the leases")
    func opening() throws {
        let path = directory("store")
        let store = try Store(at: path, create: true)
        try TestModel(layers: 1).write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let work = Work()
        work.cancel()
        let lock = try FileDescriptor(path + "/leases/.lock", O_RDWR)
        #expect(try lock.tryLock())
        #expect(throws: CancellationError.self) { _ = try Store(at: path, work: work) }
        #expect(throws: CancellationError.self) { _ = try store.revision("model", work: work) }
        lock.unlock()
        // A name is resolved if that does not have to wait.
        #expect(try store.revision("model", work: work).version == 1)
        #expect(try Store(at: path, work: Work()).revision("model").version == 1)
    }

    @Test("a wait for a lock is reported, unless this process itself holds it")
    func ownLock() throws {
        let path = try directory.write("", to: "lock")
        let held = try FileDescriptor(path, O_RDWR)
        try #require(try held.tryLock())
        let reports = Mutex<[String]>([])
        let wait = LockWait(within: LockWait.reportedAfter + .milliseconds(200)) { text in
            reports.withLock { $0.append(text) }
        }
        #expect(try !FileDescriptor(path, O_RDWR).lock(wait))
        #expect(reports.withLock { $0 } == [])
        let isFree = try wait.wait(for: path, { [] }, { false })
        #expect(!isFree)
        #expect(reports.withLock { $0 }.count == 1)
    }

    @Test("a lock ends with the descriptor that locked it, although a forked child still has a copy")
    func copies() throws {
        let path = try directory.write("", to: "lock")
        func copied() throws -> Int32 {
            let locked = try FileDescriptor(path, O_RDWR)
            #expect(try locked.tryLock())
            return dup(locked.raw)
        }
        let copy = try copied()
        defer { close(copy) }
        #expect(try FileDescriptor(path, O_RDWR).tryLock())
    }

    @Test("the processes that hold a lock are found, with their command")
    func holders() throws {
        let path = try directory.write("", to: "lock")
        let file = try FileDescriptor(path, O_RDWR)
        #expect(LockHolder.all(of: path).isEmpty)
        #expect(try file.tryLock(shared: true))
        // The kernel shows /proc/locks page by page: a lock elsewhere that ends meanwhile can hide a line of the next page.
        var mine: [LockHolder] = []
        let amFound = try blockUntil {
            mine = LockHolder.all(of: path)
            return mine.map(\.process) == [getpid()]
        }
        #expect(amFound)
        #expect(mine.allSatisfy { !$0.isStopped && !$0.command.isEmpty })
        let other = try ChildProcess(
            ["flock", "--no-fork", "--shared", path, "/bin/sh", "-c", "echo locked; exec sleep 1000"], output: .lines)
        #expect(try other.line() == "locked")
        let areFound = try blockUntil {
            Set(LockHolder.all(of: path).map(\.process)) == [getpid(), other.identifier]
        }
        #expect(areFound)
        // The shell becomes `sleep` after the line.
        let isSleep = try blockUntil { LockHolder.all(of: path).contains { $0.command == "sleep 1000" } }
        #expect(isSleep)
    }

    @Test("a lease waits for a shard that another process fetches, and names that process")
    func shardLock() throws {
        let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        let path = directory("fetch.lock")
        let held = try ShardLock(digest, in: path, LockWait())
        let byte = Int(UInt64(bitPattern: digest.head) >> 2)
        #expect(LockHolder.all(of: path, byte: byte).map(\.process) == [getpid()])
        #expect(LockHolder.all(of: path, byte: byte + 1).isEmpty)
        let work = Work()
        work.cancel()
        #expect(throws: CancellationError.self) { _ = try ShardLock(digest, in: path, LockWait(work)) }
        withExtendedLifetime(held) {}
    }

    @Test("a cancelled call does not wait for the write lock, another eviction, or a partial file")
    func store() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        _ = try store.importModelBlocking(ImportRequest(source: directory("model"), name: "org/model"))
        let work = Work()
        let write = try FileDescriptor(store.path + "/write.lock", O_RDWR)
        #expect(try write.tryLock())
        work.cancel()
        #expect(throws: CancellationError.self) { try store.catalog.write(work: work) { _ in } }
        write.unlock()
        try store.catalog.write(work: work) { _ in }

        let turn = try FileDescriptor(store.path + "/evict.lock", O_RDWR | O_CREAT)
        #expect(try turn.tryLock())
        #expect(throws: CancellationError.self) {
            try store.evictBlocking(EvictionRequest(.downTo(0)), work: work)
        }

        let partials = PartialShards(store: store.path)
        let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        let path = partials.path(of: "shard-\(digest)", at: 0)
        let opened = try #require(try partials.open(path))
        #expect(throws: CancellationError.self) { _ = try partials.open(digest, LockWait(work)) }
        #expect(throws: CancellationError.self) { try partials.wait(for: path, LockWait(work)) }
        withExtendedLifetime(opened) {}
    }

    @Test("stopFetching ends all waits of a store for locks")
    func stops() throws {
        let store = try Store(at: directory("store"), create: true)
        let write = try FileDescriptor(store.path + "/write.lock", O_RDWR)
        #expect(try write.tryLock())
        store.stopFetching()
        #expect(throws: CancellationError.self) { try store.setQuota(Quota(bytes: 1 << 30)) }
    }

    @Test("the count of leases never changes the phase of a shard")
    func leaseLimit() throws {
        let shard = ResidentShard(digest: ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0)), bytes: 1)
        shard.beginLoading()
        shard.finishLoading(.mapped(.empty), leases: 1 << 20, uses: 0, at: 0)
        #expect(shard.phase == .ready && shard.leases == 1 << 20)
        #expect(shard.leaseIfReady(at: 0) && shard.phase == .ready && shard.uses == 1)

        let full = ResidentShard(digest: shard.digest, bytes: 1)
        full.beginLoading()
        full.finishLoading(.mapped(.empty), leases: (1 << 27) - 1, uses: 0, at: 0)
        #expect(full.leaseIfReady(at: 0))
        #expect(!full.leaseIfReady(at: 0) && !full.holdIfReady())
        #expect(full.phase == .ready && full.leases == 1 << 27 && full.uses == 1)
        #expect(!full.release())
        #expect(full.leaseIfReady(at: 0))
        #expect(full.evict() == nil)
    }
}
