import Synchronization
import TestSupport
import Testing
import WeightStore

/// Two pulls of one commit at the same time, such as those that requests for a ref and for its commit begin in a server.
@Suite(.blocking) struct SameCommitTests {
    /// A hub during whose first read something else happens.
    private final class InterruptedHub: ModelOrigin {
        let url = "interrupted://hub"
        private let hub: RecordingHub
        private let event: Mutex<(@Sendable () throws -> Void)?>

        init(_ hub: RecordingHub, _ event: @escaping @Sendable () throws -> Void) {
            self.hub = hub
            self.event = Mutex(event)
        }

        func listing(of model: String, at revision: String, _ work: Work) throws -> RemoteRevision {
            try hub.listing(of: model, at: revision, work)
        }

        func read(_ file: RemoteFile, at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ work: Work) throws {
            let event = event.withLock { event in
                defer { event = nil }
                return event
            }
            try event?()
            try hub.read(file, at: offset, into: buffer, work)
        }

        func fetch(_ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
            try hub.fetch(request, work, body)
        }
    }

    @Test(
        "a pull adds no second revision of a commit that another pull has completed meanwhile",
        arguments: [true, false])
    func completedMeanwhile(isWhole: Bool) throws {
        let directory = try TemporaryDirectory()
        try TestModel(layers: 1).write(to: directory("model"))
        let bytes = try contents(directory("model/model.safetensors"))
        let hub = RecordingHub(path: "model.safetensors", bytes: bytes)
        let store = try Store(at: directory("store"), create: true)
        store.register(scheme: "made") { _ in hub }
        let interrupted = InterruptedHub(hub) { [weak store] in
            var other = try PullRequest("org/model@\(hub.file.commit)")
            other.origin = hub.url
            if !isWhole { other.selection = .nothing }
            #expect(try store?.pullBlocking(other).complete == isWhole)
        }
        store.register(scheme: "interrupted") { _ in interrupted }
        var request = try PullRequest("org/model")
        request.origin = interrupted.url
        request.selection = .nothing
        let summary = try store.pullBlocking(request)
        #expect(summary.version == 1 && summary.complete == isWhole)
        let revisions = try store.revisions(of: "org/model")
        #expect(revisions.map(\.version) == [1] && revisions.map(\.refs) == [["main"]])
        #expect(revisions.map(\.commit) == [hub.file.commit])
        // Each name of the revision names it.
        for name in ["main", hub.file.commit, summary.digest.hex] {
            #expect(try store.revision("org/model@\(name)").digest == summary.digest)
        }
        var rest = request
        rest.selection = FetchSelection()
        #expect(try store.pullBlocking(rest).complete)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }
}
