import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    @Suite(.enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
    struct InterruptedTests {
        let directory = try! TemporaryDirectory()

        @Test(
            "Ctrl-C and SIGTERM end an import with status 130, and the next one resumes", arguments: [SIGINT, SIGTERM])
        func interrupts(_ number: Int32) throws {
            try TestModel(layers: 2).write(to: directory("model"), files: 3)
            try TestModel(layers: 1, seed: 5).write(to: directory("base"))
            let place = directory("store")
            var tool = Tool(store: place)
            try tool("import", directory("base"))
            // `-D`: the tool, and not strace, is our child, and gets the signal. Each sync takes a while.
            tool.prefix = Trace.inject("fdatasync", "delay_exit=200000")
            tool.prefix.insert("-D", at: 1)
            let running = try tool.start(["import", directory("model"), "--name", "org/model"])
            try blockUntil { !TemporaryDirectory.files(below: place + "/staging").isEmpty }
            #expect(!TemporaryDirectory.files(below: place + "/staging").isEmpty)
            running.signal(number)
            let result = running.result()
            #expect(result.status == 130)
            #expect(result.errors.contains("Interrupted"))
            #expect(result.errors.contains("again to resume"))
            #expect(result.output == "")
            #expect(TemporaryDirectory.files(below: place + "/staging") == [], "it cleans up behind itself")

            let store = try Store(at: place)
            #expect(try Inspection.revisions(in: store) == ["base@~1"])
            #expect(try Inspection.differences(of: "base", from: directory("base"), in: store) == [])
            _ = try store.importModelBlocking(ImportRequest(source: directory("model"), name: "org/model"))
            #expect(try Inspection.differences(of: "org/model", from: directory("model"), in: store) == [])
            _ = try store.collectGarbage(graceSeconds: 0)
            #expect(try Inspection.leftovers(in: store) == [])
        }
    }
}
