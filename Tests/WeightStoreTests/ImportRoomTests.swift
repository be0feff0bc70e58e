import TestSupport
import Testing
import WeightStore

/// The room that an import needs is known before it writes.
@Suite(.blocking) struct ImportRoomTests {
    let directory = try! TemporaryDirectory()

    @Test("an import that cannot fit the quota is refused before a byte of it is written, with the figures")
    func refused() throws {
        let quota = 1 << 20
        let store = try Store(at: directory("store"), create: true)
        try store.setQuota(Quota(bytes: quota))
        try TestModel().write(to: directory("model"), files: 3)
        let before = TemporaryDirectory.files(below: directory("store/blobs"))
        let work = Work()
        let error = #expect(throws: StoreError.self) {
            try store.importModelBlocking(ImportRequest(source: directory("model")), work: work)
        }
        guard case .quotaFull(quota, 0, let requested, 0) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(requested > quota)
        #expect(work.progress.done == 0)
        #expect(TemporaryDirectory.files(below: directory("store/blobs")) == before)
    }

    @Test("shards that the store holds need no room")
    func stored() throws {
        let store = try Store(at: directory("store"), create: true)
        try TestModel().write(to: directory("model"))
        try TestModel().tuned(seed: 7).write(to: directory("tuned"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        // The whole of the second model is larger than the rest of the quota, its new shards are not.
        let room = 3 << 20
        try store.setQuota(Quota(bytes: try store.diskGauge().bytes + room))
        let summary = try store.importModelBlocking(ImportRequest(source: directory("tuned")))
        #expect(summary.bytes > room && summary.written > 0 && summary.written <= room)
    }
}
