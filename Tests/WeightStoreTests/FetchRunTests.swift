import Foundation
import Storage
import Support
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// The concurrent ranges of a fetch from a hub.
@Suite(.blocking) struct FetchRunTests {
    let directory = try! TemporaryDirectory()

    /// A hub of which one range fails, after those behind it have arrived.
    private final class FailingHub: ModelOrigin {
        private struct State {
            var isArmed = false
            var reads = 0
        }

        let hub: RecordingHub
        private let state = Mutex(State())

        init(_ hub: RecordingHub) { self.hub = hub }

        var url: String { hub.url }

        /// The next range fails.
        func arm() { state.withLock { $0 = State(isArmed: true) } }

        func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
            try hub.listing(of: model, at: revision, work)
        }

        func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws {
            let fails = state.withLock { state in
                defer { state.isArmed = false }
                return state.isArmed
            }
            if fails {
                // All other buffers wait for this range, or five seconds have passed.
                for _ in 0..<500 where state.withLock({ $0.reads }) < FetchRun.buffers - 1 { usleep(10_000) }
                usleep(100_000)
                throw FetchError.unusable(url: url, reason: "a range failed")
            }
            try hub.read(file, at: offset, into: buffer, work)
            state.withLock { $0.reads += 1 }
        }

        func fetch(_ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
            try hub.fetch(request, work, body)
        }
    }

    @Test("a fetch ends when a range fails for which all buffers wait")
    func failure() throws {
        var model = TestModel(layers: 1)
        for number in 0..<40 {
            model.tensors.append(.init(name: "model.layers.0.\(number).weight", dtype: "U8", shape: [1 << 20]))
        }
        try model.write(to: directory("model"))
        let hub = FailingHub(
            RecordingHub(path: "model.safetensors", bytes: try contents(directory("model/model.safetensors"))))
        let store = try Store(at: directory("store"), unfetchedFrom: hub)
        var request = try PullRequest("org/model")
        request.origin = hub.url
        hub.arm()
        let end = DispatchSemaphore(value: 0)
        try startThread { [request] in
            #expect(throws: (any Error).self) { try store.pullBlocking(request) }
            end.signal()
        }
        try #require(end.wait(timeout: .now() + 300) == .success, "the fetch does not end")
        #expect(try store.pullBlocking(request).complete)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("bytes that are fetched because something reads them stay in the page cache")
    func cached() throws {
        var model = TestModel(layers: 2)
        model.tensors.append(.init(name: "model.layers.1.large.weight", dtype: "U8", shape: [16 << 20]))
        try model.write(to: directory("model"))
        let hub = RecordingHub(path: "model.safetensors", bytes: try contents(directory("model/model.safetensors")))
        let store = try Store(at: directory("store"), unfetchedFrom: hub)
        let revision = try store.revision("org/model")
        try revision.fetch(FetchSelection(layers: 1...1), Work())
        let shards = try store.catalog.read { db in
            try ShardTable.present(of: nil, verifiedBefore: nil, db).shards.compactMap {
                try ShardTable.find(id: $0, db)
            }
        }
        let shard = try #require(shards.max { $0.bytes < $1.bytes })
        let blob = try MappedBlob(
            path: store.blobs.path(shard.digest), digest: shard.digest, bytes: shard.bytes)
        #expect(try blob.mapping.cachedBytes() == shard.bytes)
    }
}
