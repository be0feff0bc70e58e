import Foundation
import ModelFormats
import Support
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    /// Many processes in one store.
    @Suite struct SharedStoreTests {
        let directory = try! TemporaryDirectory()

        /// The failures, and the number of runs of each command.
        private final class Journal: Sendable {
            private let state = Mutex<(problems: [String], counts: [String: Int])>(([], [:]))

            func count(_ what: String) { state.withLock { $0.counts[what, default: 0] += 1 } }
            func problem(_ text: String) { state.withLock { $0.problems.append(text) } }
            var problems: [String] { state.withLock { $0.problems } }
            func counted(_ what: String) -> Int { state.withLock { $0.counts[what] ?? 0 } }
            /// Whether each loop has come round often enough.
            var isLong: Bool { Self.needed.allSatisfy { counted($0) > 3 } }
            static let needed = ["import 0", "rm 0", "gc 0", "export 0", "maybe 0", "layer"]
        }

        @Test("gc in a loop beside imports, reads and removals deletes nothing that an import, a read or a row needs")
        func concurrentCommands() throws {
            let base = TestModel(layers: 1)
            for (name, model) in [
                ("kept", base), ("tuned1", base.tuned(seed: 1)), ("tuned2", base.tuned(seed: 2)),
                ("distinct", TestModel(layers: 1, seed: 9)),
            ] { try model.write(to: directory(name), files: name == "tuned2" ? 2 : 1) }
            let place = directory("store")
            let tool = Tool(store: place)
            try #require(try tool("import", directory("kept"), "--name", "kept").status == 0)

            let digests = try Dictionary(
                uniqueKeysWithValues: SafetensorsWriter(base.tensors, metadata: [:]).tensors.map { tensor in
                    (tensor.name, base.bytes(of: tensor).withUnsafeBytes { ContentDigest(of: $0) })
                })
            let journal = Journal()
            let end = ContinuousClock.now + .seconds(15)
            // Longer on a machine that is so busy that a loop has not come round.
            let last = end + .seconds(150)
            let workers = DispatchGroup()
            /// Runs a command again and again; `allowed` are the statuses that it may end with.
            func loop(_ name: String, allowed: Set<Int32>, _ arguments: @escaping @Sendable (Int) -> [String]) throws {
                try startThread(in: workers) {
                    var round = 0
                    while ContinuousClock.now < (journal.isLong ? end : last) {
                        round += 1
                        do {
                            let result = try tool.run(arguments(round))
                            journal.count("\(name) \(result.status)")
                            if !allowed.contains(result.status) {
                                journal.problem("\(arguments(round)): \(result.status) \(result.errors)")
                            }
                        } catch {
                            journal.problem("\(name): \(error)")
                        }
                    }
                }
            }
            let path = directory.path
            // Overlapping and distinct models, under names that others use, too.
            try loop("import", allowed: [0]) { ["import", "\(path)/tuned\(1 + $0 % 2)", "--name", "a\($0 % 3)"] }
            try loop("import", allowed: [0]) {
                ["import", "\(path)/\($0 % 2 == 0 ? "tuned1" : "distinct")", "--name", "b\($0 % 2)"]
            }
            try loop("rm", allowed: [0, 2, 4]) { [["rm", "a0"], ["rm", "b0"], ["rm", "a1"], ["rm", "b1"]][$0 % 4] }
            try loop("gc", allowed: [0]) { _ in ["gc", "--grace", "0"] }
            try loop("export", allowed: [0]) { ["export", "kept", "\(path)/out\($0)"] }
            // A model that is imported and removed in a loop: a command finds it complete (export checks it), or
            // reports it as missing.
            try loop("maybe", allowed: [0, 2]) { ["export", "a\($0 % 3)", "\(path)/maybe\($0)"] }
            try startThread(in: workers) {
                do {
                    let store = try Store(at: place)
                    while ContinuousClock.now < (journal.isLong ? end : last) {
                        let revision = try store.revision("kept")
                        for tensor in try revision.layer(0).tensors {
                            let digest = tensor.bytes.withUnsafeBytes { ContentDigest(of: $0) }
                            if digest != digests[tensor.entry.name] {
                                journal.problem("layer 0: \(tensor.entry.name) differs")
                            }
                        }
                        journal.count("layer")
                    }
                } catch {
                    journal.problem("layer: \(error)")
                }
            }
            workers.wait()
            #expect(journal.problems == [])
            for name in Journal.needed { #expect(journal.counted(name) > 3, "\(name): \(journal.counted(name))") }
            let files = TemporaryDirectory.files(below: directory("kept"))
            for round in 1...journal.counted("export 0") {
                for file in files {
                    #expect(try contents(directory("out\(round)/\(file)")) == contents(directory("kept/\(file)")))
                }
            }

            let verified = try tool("verify")
            #expect(verified.status == 0, "\(verified.errors)")
            #expect(try tool("gc", "--grace", "0").status == 0)
            #expect(try Inspection.leftovers(in: Store(at: place)) == [])
            #expect(try tool("gc", "--grace", "0").output == "", "silent when there is nothing")
        }

        @Test("a second gc beside the first says so and ends with 0")
        func twoCollections() throws {
            try TestModel(layers: 1).write(to: directory("model"))
            let tool = Tool(store: directory("store"))
            try tool("import", directory("model"))
            try tool("gc")
            let lock = try FileDescriptor(directory("store/gc.lock"), O_RDWR)
            #expect(try lock.tryLock())
            let second = try tool("gc")
            #expect(second.status == 0)
            #expect(second.errors.contains("another garbage collection"))
            lock.unlock()
            #expect(try tool("gc").errors == "")
        }

        @Test("a revision that a living process holds is not removed; when it is killed, it can be")
        func holds() throws {
            try TestModel(layers: 1).write(to: directory("model"))
            var tool = Tool(store: directory("store"))
            try tool("import", directory("model"))
            // Writes to a pipe without a reader.
            try ChildProcess.check("mkfifo", directory("pipe"))
            let pipe = open(directory("pipe"), O_RDWR)
            defer { close(pipe) }
            tool.prefix = ["/bin/sh", "-c", "exec \"$@\" > '\(directory("pipe"))'", "sh"]
            let holder = try tool.start(["cat", "model", "model.safetensors"])
            tool.prefix = []
            for _ in 0..<100 {
                if try tool("rm", "model", "--dry-run").status == 4 { break }
                usleep(20_000)
            }
            let refused = try tool("rm", "model")
            #expect(refused.status == 4)
            #expect(refused.errors.contains("in use by process \(holder.identifier)"), "\(refused.errors)")
            // Another version, so that no ref names the held one.
            try TestModel(layers: 1, seed: 2).write(to: directory("next"))
            #expect(try tool("import", directory("next"), "--name", "model").status == 0)
            let kept = try tool("prune", "--keep-last", "1", "--json").object()
            #expect((kept["kept"] as? [[String: Any]])?.first?["revision"] as? String == "model@~1")
            #expect(try tool("ls", "--quiet").output == "model\n")

            holder.signal(SIGKILL)
            #expect(holder.result().status == 128 + SIGKILL)
            let removed = try tool("rm", "model")
            #expect(removed.status == 0, "\(removed.errors)")
            #expect(try tool("gc", "--grace", "0").status == 0)
            #expect(try Inspection.leftovers(in: Store(at: directory("store"))) == [])
        }

        @Test("eight processes that open a new store at the same time all import into it")
        func firstOpens() throws {
            try TestModel(layers: 1).write(to: directory("model"))
            for round in 1...3 * Sweep.factor {
                let tool = Tool(store: directory("store\(round)"))
                let running = try (1...8).map { try tool.start(["import", directory("model"), "--name", "m\($0)"]) }
                for process in running {
                    let result = process.result()
                    #expect(result.status == 0, "round \(round): \(result.errors)")
                }
                let store = try Store(at: directory("store\(round)"))
                #expect(try store.models().count == 8)
                _ = try store.collectGarbage(graceSeconds: 0)
                #expect(try Inspection.leftovers(in: store) == [])
            }
        }

        @Test(
            "a process that ends while another reads its lease causes no error in either",
            .enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
        func shortLivedProcesses() throws {
            try TestModel(layers: 1).write(to: directory("model"))
            var tool = Tool(store: directory("store"))
            try tool("import", directory("model"))
            var living: Store? = try Store(at: directory("store"))
            let lease = try #require(living?.leases.name)
            // The fourth call, after the three of opening, is the one that finds out whether this process is alive.
            tool.prefix = Trace.inject("flock", "delay_exit=1500000", when: "4", log: directory("log"))
            let running = try tool.start(["stats"])
            // It has opened the lease, and its call returns 1.5 s later.
            try blockUntil { try Self.othersOpen("/leases/\(lease)") }
            living = nil
            let result = running.result()
            #expect(result.status == 0, "\(result.errors)")
            let delayed = try Trace.calls(directory("log")).filter { $0.line.contains("DELAYED") }
            #expect(delayed.contains { $0.line.contains("/leases/\(lease)") })
        }

        /// Whether another process has a file open whose path ends so.
        private static func othersOpen(_ path: String) throws -> Bool {
            let files = FileManager.default
            return try files.contentsOfDirectory(atPath: "/proc").contains { process in
                guard let number = Int32(process), number != getpid() else { return false }
                let descriptors = "/proc/\(process)/fd"
                return (try? files.contentsOfDirectory(atPath: descriptors))?.contains {
                    (try? files.destinationOfSymbolicLink(atPath: "\(descriptors)/\($0)"))?.hasSuffix(path) ?? false
                } ?? false
            }
        }
    }
}

/// Runs `body` on a thread of its own, as part of a group.
private func startThread(in group: DispatchGroup, _ body: @escaping @Sendable () -> Void) throws {
    group.enter()
    try startThread {
        body()
        group.leave()
    }
}
