import Files
import Foundation
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// The statistics that living processes put beside their leases.
@Suite(.blocking) struct LiveProcessTests {
    let fixture = try! ActivityFixture()
    private var store: Store { fixture.store }
    private var directory: TemporaryDirectory { fixture.directory }

    @Test("what another user puts beside the leases is neither waited for, followed nor believed")
    func hostileStatistics() throws {
        let leases = directory("store/leases")
        let lease = try #require(try FileManager.default.contentsOfDirectory(atPath: leases).first { $0.first != "." })
        let victim = try directory.write("kept", to: "victim")
        let statistics = ProcessStatistics(pid: 1, program: "p", version: "", user: "", startedAt: 1)
        #expect(symlink(victim, "\(leases)/.\(lease).json.new") == 0)
        try store.leases.write(statistics)
        #expect(String(decoding: try contents(victim), as: UTF8.self) == "kept")

        let json = String(decoding: try JSONEncoder().encode(statistics), as: UTF8.self)
        let other = "store/leases/.99999-1.json"
        let path = try directory.write(json, to: other)
        #expect(store.leases.statistics(of: "99999-1")?.program == "p")
        for (good, hostile) in [
            ("\"pid\":1", "\"pid\":-9223372036854775808"), ("\"pid\":1", "\"pid\":9223372036854775807"),
            ("\"program\":\"p\"", "\"program\":\"\\u001b[31m\""),
            ("\"holds\":[]", Self.hold("[[5,6],[1,2]]")), ("\"holds\":[]", Self.hold("[[1,2],[2,3]]")),
            ("\"holds\":[]", Self.hold("[[2,1]]")), ("\"holds\":[]", Self.hold("[[-1,1]]")),
            (
                "\"holds\":[]",
                Self.hold(
                    "[" + (0...ResidentLayers.mostRanges).map { "[\($0 * 2),\($0 * 2)]" }.joined(separator: ",") + "]")
            ),
        ] {
            try directory.write(json.replacing(good, with: hostile), to: other)
            #expect(store.leases.statistics(of: "99999-1") == nil, "\(hostile)")
        }
        for good in [Self.hold("[[1,2],[5,5]]"), Self.hold(nil)] {
            try directory.write(json.replacing("\"holds\":[]", with: good), to: other)
            let holds = try #require(store.leases.statistics(of: "99999-1")?.holds)
            #expect(holds.map { $0.layers?["ram"]?.contains(5) } == [good == Self.hold(nil) ? nil : true])
        }
        unlink(path)
        #expect(mkfifo(path, 0o644) == 0)
        #expect(mkfifo("\(leases)/99999-1", 0o644) == 0)
        #expect(store.leases.statistics(of: "99999-1") == nil)
        #expect(try store.liveProcesses().count == 1)
    }

    /// A hold with resident layers as JSON; nil: as an older program writes it, without them.
    private static func hold(_ ranges: String?) -> String {
        let digest = String(repeating: "0", count: 64)
        let layers = ranges.map { ranges in
            ",\"layers\":{\"ram\":{\"ranges\":\(ranges),\"outside\":false,\"isComplete\":true}}"
        }
        return
            "\"holds\":[{\"revision\":\"a/b@~1\",\"model\":\"a/b\",\"digest\":\"\(digest)\",\"leased\":{}\(layers ?? "")}]"
    }

    @Test("statistics show the tiers of a living process, and what it holds; they go with its lease")
    func statistics() throws {
        // Without those of the suite's store, which may be old enough.
        func files() throws -> [String] {
            try FileSystem.entries(directory("store/leases")).filter {
                $0.hasSuffix(".json") && !$0.contains(store.leases.name)
            }
        }
        try {
            let user = try fixture.other()
            let lease = try user.revision("org/model").leaseBlocking(layer: 1, in: .ram)
            user.statistics.write()
            let process = try #require(try store.liveProcesses().first { !$0.tiers.isEmpty })
            let tier = try #require(process.tiers.first)
            #expect(process.pid == Int(getpid()) && process.updatedAt != nil)
            #expect(tier.name == "ram" && tier.leased == lease.bytes && tier.bytes == tier.leased + tier.evictable)
            #expect(process.holds.map(\.revision) == ["org/model@~1"])
            #expect(process.holds.first?.leased == ["ram": lease.bytes])
            #expect(try files() == [".\(user.leases.name).json"])
            withExtendedLifetime(lease) {}
        }()
        #expect(try store.liveProcesses().count == 1)
        #expect(try files().isEmpty)
    }

    @Test(
        "statistics have the layers that are resident with all of their tensors, leased or not, until they are evicted")
    func residentLayers() throws {
        let user = try fixture.other()
        let revision = try user.revision("org/model")
        func layers() throws -> [String: ResidentLayers]? {
            try user.liveProcesses().flatMap(\.holds).first?.layers
        }
        #expect(try layers() == [:])
        let tensor = try #require(try revision.tensorEntries(layer: 0).first?.name)
        let part = try revision.leaseBlocking(tensor: tensor, in: .ram)
        let lease = try revision.leaseBlocking(layer: 1, in: .ram)
        let shards = Set(try revision.tensorEntries(layer: 0).compactMap(\.shard))
        // A layer of one pack is whole with any of its tensors.
        let first = ResidentLayers(shards.count > 1 ? [1] : [0, 1], outside: false)
        #expect(try layers() == ["ram": first])
        try revision.leaseBlocking(in: .ram).release()
        #expect(try layers() == ["ram": ResidentLayers([0, 1], outside: true)])
        part.release()
        user.clear(.ram)
        #expect(try layers() == ["ram": ResidentLayers([1], outside: false)])
        lease.release()
        user.clear(.ram)
        #expect(try layers() == [:])
        let memory = try revision.leasePrivately()
        #expect(try layers()?["ram"]?.contains(0) == true)
        withExtendedLifetime(memory) {}
    }

    @Test("the statistics of a process have a limited number of ranges of layers, and say so")
    func limitedLayers() {
        var statistics = ProcessStatistics(pid: 1, program: "p", version: "", user: "", startedAt: 1)
        let layers = ResidentLayers(stride(from: 0, to: 6000, by: 2), outside: true)
        #expect(layers.ranges.count == 3000 && layers.contains(4) && !layers.contains(5) && layers.contains(nil))
        statistics.holds = ["a/a", "a/b", "a/c"].map { model in
            ProcessStatistics.Hold(
                revision: model, model: model, digest: [1].withUnsafeBytes { ContentDigest(of: $0) }, leased: [:],
                layers: ["ram": layers])
        }
        statistics.limitLayers()
        let found = statistics.holds.compactMap { $0.layers?["ram"] }
        #expect(found.map(\.ranges.count) == [3000, ResidentLayers.mostRanges - 3000, 0])
        #expect(found.map(\.isComplete) == [true, false, false] && found.allSatisfy(\.outside))
        #expect(ResidentLayers([0, 1, 2, 7], outside: false).ranges == [0...2, 7...7])
    }

    @Test("statistics of dead processes are removed, and unreadable ones do not hide a process")
    func strayStatistics() throws {
        let leases = directory("store/leases")
        try Data("{}".utf8).write(to: URL(fileURLWithPath: leases + "/.4711-1.json"))
        let user = try fixture.other()
        try Data("no JSON".utf8).write(to: URL(fileURLWithPath: "\(leases)/.\(user.leases.name).json"))
        let processes = try store.liveProcesses()
        #expect(processes.count == 2 && processes.allSatisfy { $0.pid == Int(getpid()) })
        #expect(!FileSystem.exists(leases + "/.4711-1.json"))
        user.statistics.write()
        #expect(try store.liveProcesses().allSatisfy { $0.updatedAt != nil })
    }

    @Test("a fetch in progress is listed with its bytes")
    func running() throws {
        let work = Work()
        work.expect(50)
        work.advance(20)
        try store.fetches.during("org/model", from: "https://user:word@hub.example", work) {
            work.expect(100)
            work.advance(10)
            let fetch = try #require(try store.liveProcesses().first?.fetches.first)
            #expect(fetch.model == "org/model" && !fetch.origin.contains("word"))
            #expect(fetch.bytes == 10 && fetch.total == 100)
        }
        #expect(try store.liveProcesses().first?.fetches.isEmpty == true)
    }
}
