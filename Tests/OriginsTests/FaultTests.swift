import Foundation
import Origins
import Support
import TestSupport
import Testing
import WeightStore

/// The faults of servers and networks during a pull.
@Suite(.blocking) struct FaultTests {
    private func pull(_ faults: [HubServer.Fault], idle: Double = 2, attempts: Int = 4) throws -> (
        HubFixture, Store, Result<PullSummary, any Error>
    ) {
        let fixture = try HubFixture()
        let store = try fixture.store(idle: idle, attempts: attempts)
        try fixture.hub.set(faults)
        return (fixture, store, Result { try store.pullBlocking(fixture.request()) })
    }

    private func fault(
        _ kind: String, _ match: String = "^/org/model/model", times: Int = 1,
        _ change: (inout HubServer.Fault) -> Void = { _ in }
    ) -> HubServer.Fault {
        var fault = HubServer.Fault(kind, match, times: times)
        change(&fault)
        return fault
    }

    /// Transient errors: the pull continues, and no byte that arrived is requested again.
    @Test(
        "transient errors are retried, and bytes that arrived are not transferred twice",
        arguments: ["429", "500", "502", "503", "504", "408", "reset", "cut", "freeze", "403"])
    func passing(kind: String) throws {
        let faults =
            if let status = Int(kind) {
                [
                    fault("status", "^/org/model/model", times: 3) { $0.status = status },
                    fault("status", "^/api", times: status == 403 ? 0 : 1) { $0.status = status },
                ]
            } else {
                [
                    fault(kind, times: 3) {
                        $0.after = 100_000; $0.seconds = 3
                    }
                ]
            }
        // On a busy machine any response may pause for half a second.
        let (fixture, store, result) = try pull(faults, idle: kind == "freeze" ? 2 : 30)
        #expect(try result.get().complete)
        // Bytes that a reset discards in the kernels' buffers had been sent.
        if kind != "reset" { #expect(try fixture.hub.served() == fixture.bytes) }
        #expect(try result.get().fetched == fixture.bytes)
        #expect(try store.revision("org/model").bytes(of: "model.safetensors") == fixture.file())
    }

    @Test("a retry waits for Retry-After")
    func retryAfter() throws {
        let start = ContinuousClock.now
        let (_, _, result) = try pull([
            fault("status") {
                $0.status = 429; $0.headers = ["Retry-After": "1"]
            }
        ])
        #expect(try result.get().complete)
        #expect(ContinuousClock.now - start > .seconds(1))
        let (_, _, patient) = try pull([
            fault("status") {
                $0.status = 503; $0.headers = ["Retry-After": "86400"]
            }
        ])
        guard case .failure(FetchError.refused(_, 503, _, _)) = patient else {
            return #expect(Bool(false), "\(patient)")
        }
    }

    @Test("a request whose every attempt receives some bytes is not repeated for ever")
    func endlessRetries() throws {
        let fixture = try HubFixture()
        let store = try fixture.store(retrySeconds: 0.2)
        try store.pullBlocking(fixture.request(.nothing))
        var fault = HubServer.Fault("reset", times: 1_000_000)
        fault.after = 100
        try fixture.hub.set([fault])
        let error = #expect(throws: FetchError.self) { try store.pullBlocking(fixture.request()) }
        guard case .disconnected = error else { return #expect(Bool(false), "\(error.map { "\($0)" } ?? "")") }
    }

    @Test("a permanent failure is an error with the URL, the status and the expectation")
    func lasting() throws {
        let cases: [(HubServer.Fault, (FetchError) -> Bool)] = [
            (
                fault("status", times: 999) { $0.status = 503 },
                {
                    if case .refused(let url, 503, "206", 4) = $0 { url.contains("/model.safetensors") } else { false }
                }
            ),
            (
                fault("html"),
                {
                    if case .pageInsteadOfFile(_, 200, let type) = $0 { type.hasPrefix("text/html") } else { false }
                }
            ),
            (fault("html", "^/api", times: 9), { if case .pageInsteadOfFile(_, 200, _) = $0 { true } else { false } }),
            (fault("loop", times: 999), { if case .tooManyRedirects(_, 302, _) = $0 { true } else { false } }),
            (fault("loop", "^/api", times: 999), { if case .tooManyRedirects(_, 302, _) = $0 { true } else { false } }),
            (
                fault("shifted"),
                { if case .wrongRange(_, 206, let expected, let found) = $0 { expected != found } else { false } }
            ),
            (fault("whole"), { if case .wrongRange(_, 200, _, "the whole file") = $0 { true } else { false } }),
            (
                fault("long") { $0.extra = 7 },
                {
                    if case .wrongLength(_, 206, let expected, let found) = $0 { found == expected + 7 } else { false }
                }
            ),
            (
                fault("status", times: 999) { $0.status = 403 },
                { if case .expired(_, 403) = $0 { true } else { false } }
            ),
            (
                fault("status", "resolve") { $0.status = 404 },
                { if case .notFound(_, _, 404) = $0 { true } else { false } }
            ),
            (
                fault("stall", times: 999) { $0.seconds = 2 },
                { if case .stalled(_, 0.3, 4) = $0 { true } else { false } }
            ),
            (
                fault("reset", times: 999) { $0.after = 0 },
                { if case .disconnected(_, _, 4) = $0 { true } else { false } }
            ),
            (
                fault("redirect") { $0.location = "ftp://x/y" },
                { if case .badRedirect(_, 302, _) = $0 { true } else { false } }
            ),
        ]
        for (fault, isExpected) in cases {
            let (_, _, result) = try pull([fault], idle: 0.3)
            guard case .failure(let error as FetchError) = result else {
                Issue.record("\(fault.kind): \(result)")
                continue
            }
            #expect(isExpected(error), "\(fault.kind): \(error)")
            #expect("\(error)".contains("http://") && !"\(error)".contains("secret"), "\(error)")
        }
    }

    @Test("bytes that were changed in transit are set aside when the file is whole, and fetched again")
    func corruption() throws {
        let (fixture, store, result) = try pull([fault("corrupt", times: 999) { $0.after = 1_500_000 }])
        guard case .failure(FetchError.wrongDigest(let url, let expected, let found)) = result else {
            return #expect(Bool(false), "\(result)")
        }
        #expect(url.contains("model.safetensors") && expected != found)
        #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.directory("store/quarantine")).count > 0)
        #expect(try store.verifyBlocking().damage.isEmpty)
        try fixture.hub.set()
        #expect(try store.pullBlocking(fixture.request()).complete)
        #expect(try store.revision("org/model").bytes(of: "model.safetensors") == fixture.file())
        try store.collectGarbage(graceSeconds: 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.directory("store/quarantine")).isEmpty)
    }

    @Test("a small file is compared with its git object name")
    func gitObject() throws {
        let (_, _, result) = try pull([fault("corrupt", "config.json") { $0.after = 3 }])
        guard case .failure(FetchError.wrongDigest(let url, _, _)) = result else {
            return #expect(Bool(false), "\(result)")
        }
        #expect(url.contains("config.json"))
    }

    @Test("the token is sent to the hub alone, and is in no error")
    func token() throws {
        let fixture = try HubFixture()
        try fixture.hub.set(token: "hf_topsecret")
        let refused = #expect(throws: FetchError.self) { try fixture.store("none").pullBlocking(fixture.request()) }
        guard case .unauthorized(_, 401, _, _) = refused else { return #expect(Bool(false), "\(refused!)") }
        let wrong = #expect(throws: FetchError.self) {
            try fixture.store("wrong", token: "hf_wrong").pullBlocking(fixture.request())
        }
        #expect(!"\(wrong!)".contains("hf_wrong"))
        #expect(try fixture.store(token: "hf_topsecret").pullBlocking(fixture.request()).complete)
        let elsewhere = try fixture.hub.requests().filter { $0.place == "cdn" }
        #expect(!elsewhere.isEmpty && elsewhere.allSatisfy { $0.token == nil })
        #expect(try fixture.hub.requests().contains { $0.token == "Bearer hf_topsecret" })
    }

    @Test("a path that leaves the model is refused")
    func paths() throws {
        let fixture = try HubFixture()
        try FileManager.default.createDirectory(
            atPath: fixture.directory("hub/org/model/a"), withIntermediateDirectories: true)
        let store = try fixture.store()
        for path in ["../x", "/etc/x", "a//b", "a/./b", ""] {
            let listing = RemoteRevision(
                model: "org/model", commit: String(repeating: "a", count: 40),
                files: [
                    RemoteFile(
                        model: "org/model", commit: String(repeating: "a", count: 40), path: path, bytes: 1,
                        digest: nil,
                        gitObject: nil)
                ])
            store.register(scheme: "file") { _ in Listing(url: "file:///x", revision: listing) }
            let error = #expect(throws: FetchError.self) { try store.pullBlocking(fixture.request(from: "file:///x")) }
            guard case .malformed = error else { return #expect(Bool(false), "\(error!)") }
        }
    }

    /// An origin that lists files and has none.
    private struct Listing: ModelOrigin {
        let url: String
        let revision: RemoteRevision
        func listing(of model: String, at name: String, _: Work) throws -> RemoteRevision { revision }
        func read(_: RemoteFile, at: Int, into: UnsafeMutableRawBufferPointer, _: Work) throws {}
        func fetch(_: ShardRequest, _: Work, _: (Int, UnsafeRawBufferPointer) throws -> Void) throws {}
    }

    @Test("a fetch does not exceed the rate limit")
    func rate() throws {
        let fixture = try HubFixture()
        let start = ContinuousClock.now
        try fixture.store(rate: 4_000_000).pullBlocking(fixture.request())
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        #expect(seconds > Double(try fixture.bytes) / 4_000_000 * 0.8)
    }

    @Test("a cancelled pull stops soon, and keeps the bytes that arrived")
    func cancelling() throws {
        let fixture = try HubFixture()
        // All of it would take minutes.
        let store = try fixture.store(idle: 30, rate: 50_000)
        let work = Work()
        try startThread {
            while work.progress.done == 0 { usleep(10_000) }
            work.cancel()
        }
        #expect(throws: CancellationError.self) { try store.pullBlocking(fixture.request(), work: work) }
        #expect(try work.progress.done < fixture.bytes)
        #expect(try store.pullBlocking(fixture.request(from: fixture.hub.url)).complete)
    }

    @Test("a pull whose task is cancelled ends in the middle of a fetch")
    func cancellingTask() async throws {
        let fixture = try HubFixture()
        // All of it would take minutes.
        let store = try fixture.store(idle: 30, rate: 50_000)
        let (request, work) = (try fixture.request(), Work())
        let task = Task { try await store.pull(request, work: work) }
        while work.progress.done == 0 { try await Task.sleep(for: .milliseconds(10)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(work.isCancelled)
        #expect(try work.progress.done < fixture.bytes)
    }
}
