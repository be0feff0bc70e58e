import Foundation
import Glibc
import Origins
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct ResumeTests {
    /// Durable bytes of the large file in a store that no process has open.
    private func safe(_ fixture: HubFixture) throws -> Int {
        let partial = fixture.directory("store/partial")
        let halves = try TemporaryDirectory.files(below: partial).reduce(0) {
            try $0 + contents("\(partial)/\($1)").count
        }
        let usage = try JSONSerialization.jsonObject(with: Data(fixture.tool()("du", "--json").bytes)) as? [String: Any]
        return halves + (usage?["stored"] as? Int ?? 0)
    }

    @Test(
        "a pull that is killed at any moment resumes after the last durable byte",
        arguments: Sweep.isFull ? [300, 600, 900, 1200, 1600, 2100] : [300, 900, 1600])
    func kill(milliseconds: Int) throws {
        // A tensor of 24 MB among small ones.
        let fixture = try HubFixture(TestModel(layers: 2, wide: 3000))
        try fixture.hub.set(
            (0..<400).map { _ in
                var fault = HubServer.Fault("slow", "^/org/model/model")
                fault.pace = 0.03
                return fault
            })
        let process = try fixture.tool().start(["pull", "org/model"])
        usleep(UInt32(milliseconds * 1000))
        process.signal(SIGKILL)
        _ = process.result()
        let safe = FileManager.default.fileExists(atPath: fixture.directory("store/blobs")) ? try safe(fixture) : 0
        try fixture.hub.set()
        let again = try fixture.tool()("pull", "org/model")
        #expect(again.status == 0, "\(again.errors)")
        // If a pull ended before its rows were written, its small files are fetched again, and so is a header that was
        // not yet a shard.
        #expect(try fixture.hub.served() <= fixture.bytes - safe + (300 << 10), "\(safe) bytes were safe")
        #expect(try fixture.tool()("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try fixture.tool()("verify").status == 0)
        #expect(try fixture.tool()("gc", "--grace", "0").status == 0)
        #expect(TemporaryDirectory.files(below: fixture.directory("store/partial")).isEmpty)
    }

    /// Begins a slow pull, and waits until 2 MiB have arrived.
    private func begin(_ fixture: HubFixture) throws -> Tool.Running {
        let process = try fixture.tool().start(["pull", "org/model", "--limit-rate", "2M"])
        func come() -> Int {
            let store = fixture.directory("store")
            // A partial file that has become a blob is not listed.
            return TemporaryDirectory.files(below: store).filter { $0.hasPrefix("partial/") || $0.hasPrefix("blobs/") }
                .reduce(0) { sum, name in
                    let facts = try? FileManager.default.attributesOfItem(atPath: "\(store)/\(name)")
                    return sum + (facts?[.size] as? Int ?? 0)
                }
        }
        try blockUntil { come() >= 2 << 20 }
        return process
    }

    @Test(
        "an interrupted fetch of an evicted shard resumes after the bytes that arrived",
        arguments: [SIGTERM, SIGKILL])
    func interruptedRefetch(number: Int32) throws {
        // Tensors of 12 to 15 MB.
        let fixture = try HubFixture(TestModel(layers: 1, wide: 6000))
        #expect(try fixture.tool()("pull", "org/model").status == 0)
        #expect(try fixture.tool()("evict", "--free", "1T").status == 13)
        try fixture.hub.set(
            (0..<400).map { _ in
                var fault = HubServer.Fault("slow", "^/org/model/model")
                fault.pace = 0.02
                return fault
            })
        let run = try fixture.tool().start(["load", "org/model"])
        let partial = fixture.directory("store/partial")
        func come() -> Int {
            TemporaryDirectory.files(below: partial).reduce(0) { sum, name in
                // A partial file that has become a blob is not listed.
                let facts = try? FileManager.default.attributesOfItem(atPath: "\(partial)/\(name)")
                return sum + (facts?[.size] as? Int ?? 0)
            }
        }
        try blockUntil { come() >= 5 << 20 }
        run.signal(number)
        #expect(run.result().status == (number == SIGKILL ? 128 + SIGKILL : 130))
        let safe = try safe(fixture)
        #expect(come() >= 4 << 20)
        try fixture.hub.set()
        #expect(try fixture.tool()("load", "org/model").status == 0)
        // Without the files that hold no tensors: a load does not request them.
        #expect(try fixture.hub.served() <= fixture.bytes - safe, "\(safe) bytes were safe")
        #expect(try fixture.tool()("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try fixture.tool()("verify").status == 0)
        #expect(TemporaryDirectory.files(below: partial).isEmpty)
    }

    @Test(
        "bytes that arrived before a power cut are not trusted, because their size proves nothing",
        .enabled(if: geteuid() == 0))
    func powerCut() throws {
        let fixture = try HubFixture(TestModel(layers: 2, wide: 1500))
        let process = try begin(fixture)
        process.signal(SIGKILL)
        _ = process.result()
        // The possible state of the file system: the size, and zeros.
        let partial = fixture.directory("store/partial")
        let left = TemporaryDirectory.files(below: partial)
        #expect(!left.isEmpty)
        for name in left {
            // A new file: the kill can come while the old one has the name of a blob too, whose
            // bytes are durable.
            let bytes = try contents("\(partial)/\(name)").count
            try Data(count: bytes).write(
                to: URL(fileURLWithPath: "\(partial)/\(name)"), options: .atomic)
        }
        var rebooted = fixture.tool()
        let boot = try fixture.directory.write("\(UUID().uuidString.lowercased())\n", to: "boot")
        rebooted.prefix = [
            "/usr/bin/unshare", "-m", "/bin/sh", "-c",
            "mount --bind \(boot) /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\"",
        ]
        let again = try rebooted("pull", "org/model")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try fixture.tool()("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try rebooted("gc").status == 0)
        #expect(TemporaryDirectory.files(below: partial).isEmpty)
    }

    @Test("Ctrl-C keeps the bytes that arrived, and says so")
    func interrupt() throws {
        let fixture = try HubFixture(TestModel(layers: 2, wide: 1500))
        let process = try begin(fixture)
        process.signal(SIGINT)
        let result = process.result()
        #expect(result.status == 130)
        #expect(result.errors.contains("Data that was stored is kept"))
        let safe = try safe(fixture)
        #expect(safe > 1 << 20)
        try fixture.hub.set()
        #expect(try fixture.tool()("pull", "org/model").status == 0)
        #expect(try fixture.hub.served() <= fixture.bytes - safe + (300 << 10))
    }
}
