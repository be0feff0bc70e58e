import Foundation
import GRDB
import Logging
import TestSupport
import Testing
@testable import WeightStore

/// The eviction that a process makes every few seconds while it keeps a store open, here called by the test.
@Suite(.blocking) struct BackgroundEvictionTests {
    let directory = try! TemporaryDirectory()
    let heard: LogListener.Lines
    let store: Store

    init() throws {
        let lines = LogListener.Lines()
        heard = lines
        store = try Store(
            at: directory("store"), create: true, logger: Logger(label: "test") { _ in LogListener(heard: lines) })
    }

    private func isRunning(_ store: Store) -> Bool { store.background.isRunning.load(ordering: .acquiring) }

    private func count(_ text: String) -> Int { heard.lines.withLock { lines in lines.count { $0.contains(text) } } }

    @Test("a quota that cannot be read is logged once, and not at every check")
    func damaged() throws {
        try store.catalog.write { db in
            try db.execute(sql: "INSERT OR REPLACE INTO setting (name, value) VALUES ('quota.bytes', 'much')")
        }
        for _ in 0..<3 { store.evictPeriodically() }
        #expect(count("setting quota.bytes") == 1)
    }

    @Test("stopEvicting ends a running background eviction, also one that waits for a lock, and no other begins")
    func stop() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        var request = ImportRequest(source: directory("model"), name: "org/model")
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
        try store.setQuota(Quota(bytes: 1000))
        let stored = try store.quotaBytes
        let write = try FileDescriptor(store.path + "/write.lock", O_RDWR)
        #expect(try write.tryLock())
        store.evictInBackground()
        #expect(isRunning(store))
        store.stopEvicting()
        #expect(!isRunning(store))
        write.unlock()
        store.evictInBackground()
        store.evictPeriodically()
        #expect(!isRunning(store))
        #expect(try store.quotaBytes == stored)
    }

    @Test("an eviction that freed too little is tried again soon only under another quota")
    func retry() throws {
        // Nothing of the model may be evicted, and each eviction logs that its policy does not exist.
        try TestModel(layers: 1).write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        var quota = Quota(bytes: 1000)
        quota.policy = "mine"
        for attempts in 1...2 {
            let policy = try directory.write("SELECT shard_id FROM candidate\n", to: "store/policies/mine.sql")
            quota.bytes = 1000 * attempts
            try store.setQuota(quota)
            try FileManager.default.removeItem(atPath: policy)
            for _ in 0..<3 { store.evictPeriodically() }
            #expect(count("is used instead") == attempts)
        }
    }
}
