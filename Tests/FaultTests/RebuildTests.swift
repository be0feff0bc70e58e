import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    /// A catalog that is lost or damaged.
    @Suite struct RebuildTests {
        let directory = try! TemporaryDirectory()
        let tool: Tool
        let place: String

        /// Two models: one with three versions, refs, a pin and origins. Made once, and copied.
        private static let template = Result<TemporaryDirectory, any Error> {
            let directory = try TemporaryDirectory()
            let base = TestModel(layers: 2, wide: 256)
            try base.write(to: directory("base"), files: 2)
            try base.tuned(seed: 3).write(to: directory("tuned"))
            try TestModel(layers: 1, seed: 8).write(to: directory("other"))
            let tool = Tool(store: directory("store"))
            for arguments in [
                [
                    "import", directory("base"), "--name", "org/model", "--ref", "main", "--ref", "first",
                    "--origin", "https://example.org/model", "--origin", "file:///models", "--trust",
                ],
                ["import", directory("other"), "--name", "org/model", "--ref", "odd"],
                ["import", directory("tuned"), "--name", "org/model"],
                ["rm", "org/model@odd"],
                ["import", directory("other"), "--name", "other"],
                ["pin", "org/model@~1", "--note", "in production"],
                ["tag", "org/model@~3", "prod"],
            ] {
                let result = try tool.run(arguments)
                try #require(result.status == 0, "\(arguments): \(result.errors)")
            }
            return directory
        }

        init() throws {
            let template = try Self.template.get()
            for name in ["base", "tuned", "other", "store"] {
                try ChildProcess.copy(template(name), to: directory(name))
            }
            place = directory("store")
            tool = Tool(store: place)
        }

        /// The tool's output for all models, without accesses.
        private func listings() throws -> [NSObject] {
            let commands =
                [["ls"], ["show", "org/model"], ["show", "other"], ["du"]]
                + ["org/model@~1", "org/model@~3", "org/model@prod", "org/model@first", "org/model", "other"].flatMap {
                    [["show", $0.contains("@") ? $0 : $0 + "@~1"], ["files", $0], ["tensors", $0]]
                }
            return try commands.map { arguments in
                let result = try tool.run(arguments + ["--json"])
                #expect(result.status == 0, "\(arguments): \(result.errors)")
                return Self.withoutAccesses(try result.json()) as! NSObject
            }
        }

        private static func withoutAccesses(_ value: Any) -> Any {
            if let list = value as? [Any] { return list.map(withoutAccesses) as NSArray }
            guard let object = value as? [String: Any] else { return value }
            return object.filter { !["accesses", "lastAccess"].contains($0.key) }.mapValues(withoutAccesses)
                as NSDictionary
        }

        enum Damage: String, CaseIterable {
            case garbage, half, onePage, empty, lost, lostWithLog
        }

        private func damage(_ damage: Damage) throws {
            let path = place + "/store.db"
            let bytes = try FileSystem.status(path)!.bytes
            switch damage {
            case .garbage:
                try Data((0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31) }).write(to: URL(fileURLWithPath: path))
            case .half: truncate(path, bytes / 2)
            case .onePage: truncate(path, 4096)
            case .empty: truncate(path, 0)
            case .lost: for suffix in ["", "-wal", "-shm"] { try FileSystem.remove(path + suffix) }
            case .lostWithLog: try FileSystem.remove(path)
            }
        }

        @Test(
            "a damaged catalog is refused with status 7, and a rebuild restores everything",
            arguments: Damage.allCases)
        func damaged(_ damage: Damage) throws {
            let before = try listings()
            try self.damage(damage)
            for arguments in [["ls"], ["gc", "--grace", "0"], ["import", directory("other"), "--name", "new"]] {
                let refused = try tool.run(arguments)
                #expect(refused.status == 7, "\(arguments): \(refused.errors)")
                #expect(refused.errors.contains("weightstore rebuild"), "\(refused.errors)")
            }
            let rebuilt = try tool("rebuild", "--json")
            #expect(rebuilt.status == 0, "\(rebuilt.errors)")
            let summary = try rebuilt.object()
            #expect(summary["models"] as? Int == 2)
            #expect(summary["revisions"] as? Int == 3)
            #expect(summary["refs"] as? Int == 4)
            #expect(summary["missing"] as? Int == 0)
            #expect((summary["lost"] as? [Any])?.isEmpty == true)
            #expect(try listings() == before)

            do {
                let store = try Store(at: place)
                #expect(try store.origins(of: "org/model") == ["https://example.org/model", "file:///models"])
                #expect(try Inspection.leftovers(in: store) == [])
                #expect(try Inspection.differences(of: "org/model@~1", from: directory("base"), in: store) == [])
                #expect(try Inspection.differences(of: "org/model@prod", from: directory("tuned"), in: store) == [])
                #expect(try Inspection.differences(of: "other", from: directory("other"), in: store) == [])
                #expect(try store.verifyBlocking().damage.isEmpty)
            }
            // The store works afterwards: the pin holds, the next version has the next number, nothing is garbage.
            #expect(try tool("rm", "org/model@~1").status == 4)
            #expect(try tool("gc", "--grace", "0").output == "")
            let next = try tool("import", directory("other"), "--name", "org/model", "--json").object()
            #expect((next["revisions"] as? [[String: Any]])?.first?["version"] as? Int == 4)
            #expect(next["written"] as? Int == 0)
        }

        @Test("a rebuild is refused while another process has the store open")
        func busy() throws {
            let store = try Store(at: place)
            let refused = try tool("rebuild")
            #expect(refused.status == 4)
            #expect(refused.errors.contains("process \(getpid())"), "\(refused.errors)")
            #expect(try store.models().count == 2)
        }

        enum Foreign: CaseIterable {
            case fifo, directory, device
        }

        @Test(
            "a FIFO, a directory or a device in place of a manifest or record is reported with its path, and the rest is restored",
            arguments: Foreign.allCases, [".manifest", ".record"])
        func foreign(_ foreign: Foreign, _ suffix: String) throws {
            let blobs = TemporaryDirectory.files(below: place + "/blobs").map { "\(place)/blobs/\($0)" }
            let record = try #require(
                blobs.first {
                    try $0.hasSuffix(".record")
                        && String(decoding: contents($0), as: UTF8.self).contains(#""model":"other""#)
                })
            let content = try JSONSerialization.jsonObject(with: Data(contents(record))) as? [String: Any]
            let revisions = try #require(content?["revisions"] as? [[String: Any]])
            let digest = try #require(revisions.first?["digest"] as? String)
            let path = try #require(suffix == ".record" ? record : blobs.first { $0.hasSuffix(digest + suffix) })
            try FileManager.default.removeItem(atPath: path)
            switch foreign {
            case .fifo: #expect(mkfifo(path, 0o644) == 0)
            case .directory: #expect(mkdir(path, 0o755) == 0)
            case .device: #expect(symlink("/dev/zero", path) == 0)
            }
            // The tool is ended when it waits for a FIFO.
            var tool = tool
            tool.prefix = ["timeout", "120"]
            let rebuilt = try tool("rebuild")
            #expect(rebuilt.status == 3, "\(rebuilt.status) \(rebuilt.errors)")
            #expect(rebuilt.errors.contains("\(path): a "), "\(rebuilt.errors)")
            #expect(try tool("show", "org/model").status == 0)
            #expect(try tool("verify", "org/model").status == 0)
            let collected = try tool("gc", "--grace", "0", "--full")
            #expect(collected.status == 0, "\(collected.errors)")
        }

        @Test("a rebuild names the missing shards, and an import restores them")
        func missing() throws {
            let blob = TemporaryDirectory.files(below: place + "/blobs").first { !$0.contains(".") }!
            try FileSystem.remove("\(place)/blobs/\(blob)")
            let summary = try tool("rebuild", "--json").object()
            // A shard that an origin has may have been evicted; one that no origin has is missing.
            let (missing, evicted) = (summary["missing"] as? Int, summary["evicted"] as? Int)
            #expect((missing ?? 0) + (evicted ?? 0) == 1)
            #expect(try tool("verify").status == (missing == 1 ? 3 : 0))
            try tool("import", directory("base"), "--name", "org/model")
            try tool("import", directory("tuned"), "--name", "org/model")
            try tool("import", directory("other"), "--name", "other")
            #expect(try tool("verify").status == 0)
        }
    }
}
