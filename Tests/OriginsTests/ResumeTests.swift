import Foundation
import Glibc
import Origins
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct ResumeTests {
    /// Bytes of the large file that are safe in a store that nobody has open.
    private func safe(_ scene: Scene) throws -> Int {
        let partial = scene.directory("store/partial")
        let halves = try TemporaryDirectory.files(below: partial).reduce(0) {
            try $0 + contents("\(partial)/\($1)").count
        }
        let usage = try JSONSerialization.jsonObject(with: Data(scene.tool()("du", "--json").bytes)) as? [String: Any]
        return halves + (usage?["stored"] as? Int ?? 0)
    }

    @Test("killed at any moment, a pull goes on behind what is safe", arguments: [300, 600, 900, 1200, 1600, 2100])
    func kill(milliseconds: Int) throws {
        // A tensor of 24 MB among small ones.
        let scene = try Scene(TestModel(layers: 2, wide: 3000))
        try scene.hub.set(
            (0..<400).map { _ in
                var fault = HubServer.Fault("slow", "^/org/model/model")
                fault.pace = 0.03
                return fault
            })
        let process = try scene.tool().start(["pull", "org/model"])
        usleep(UInt32(milliseconds * 1000))
        process.signal(SIGKILL)
        _ = process.result()
        let safe = FileManager.default.fileExists(atPath: scene.directory("store/blobs")) ? try safe(scene) : 0
        try scene.hub.set()
        let again = try scene.tool()("pull", "org/model")
        #expect(again.status == 0, "\(again.errors)")
        // Small files of a pull that did not get as far as its rows come again, and a header that was not a shard yet.
        #expect(try scene.hub.served() <= scene.bytes - safe + (300 << 10), "\(safe) bytes were safe")
        #expect(try scene.tool()("cat", "org/model", "model.safetensors").bytes == scene.file())
        #expect(try scene.tool()("verify").status == 0)
        #expect(try scene.tool()("gc", "--grace", "0").status == 0)
        #expect(TemporaryDirectory.files(below: scene.directory("store/partial")).isEmpty)
    }

    /// Begins a slow pull, and waits until 2 MiB have come.
    private func begin(_ scene: Scene) throws -> Tool.Running {
        let process = try scene.tool().start(["pull", "org/model", "--limit-rate", "3M"])
        func come() -> Int {
            let store = scene.directory("store")
            // One that is a blob by now is not there any more.
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
        "what was evicted, and is broken off while it is fetched back, goes on behind what came",
        arguments: [SIGTERM, SIGKILL])
    func broughtBack(number: Int32) throws {
        // Tensors of 25 to 31 MB.
        let scene = try Scene(TestModel(layers: 1, wide: 12_000))
        #expect(try scene.tool()("pull", "org/model").status == 0)
        #expect(try scene.tool()("evict", "--free", "1T").status == 0)
        try scene.hub.set(
            (0..<400).map { _ in
                var fault = HubServer.Fault("slow", "^/org/model/model")
                fault.pace = 0.01
                return fault
            })
        let run = try scene.tool().start(["load", "org/model"])
        let partial = scene.directory("store/partial")
        func come() -> Int {
            TemporaryDirectory.files(below: partial).reduce(0) { sum, name in
                // One that is a blob by now is not there any more.
                let facts = try? FileManager.default.attributesOfItem(atPath: "\(partial)/\(name)")
                return sum + (facts?[.size] as? Int ?? 0)
            }
        }
        try blockUntil { come() >= 5 << 20 }
        run.signal(number)
        #expect(run.result().status == (number == SIGKILL ? 128 + SIGKILL : 130))
        let safe = try safe(scene)
        #expect(come() >= 4 << 20)
        try scene.hub.set()
        #expect(try scene.tool()("load", "org/model").status == 0)
        // Without the files that hold no tensors: a load does not ask for them.
        #expect(try scene.hub.served() <= scene.bytes - safe, "\(safe) bytes were safe")
        #expect(try scene.tool()("cat", "org/model", "model.safetensors").bytes == scene.file())
        #expect(try scene.tool()("verify").status == 0)
        #expect(TemporaryDirectory.files(below: partial).isEmpty)
    }

    @Test(
        "what came before the machine went down is not trusted, since its size says nothing",
        .enabled(if: geteuid() == 0))
    func powerCut() throws {
        let scene = try Scene(TestModel(layers: 2, wide: 3000))
        let process = try begin(scene)
        process.signal(SIGKILL)
        _ = process.result()
        // What a file system may leave: the size, and zeros.
        let partial = scene.directory("store/partial")
        let left = TemporaryDirectory.files(below: partial)
        #expect(!left.isEmpty)
        for name in left {
            let bytes = try contents("\(partial)/\(name)").count
            try Data(count: bytes).write(to: URL(fileURLWithPath: "\(partial)/\(name)"))
        }
        var rebooted = scene.tool()
        let boot = try scene.directory.write("\(UUID().uuidString.lowercased())\n", to: "boot")
        rebooted.prefix = [
            "/usr/bin/unshare", "-m", "/bin/sh", "-c",
            "mount --bind \(boot) /proc/sys/kernel/random/boot_id; exec \"$0\" \"$@\"",
        ]
        let again = try rebooted("pull", "org/model")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try scene.tool()("cat", "org/model", "model.safetensors").bytes == scene.file())
        #expect(try rebooted("gc").status == 0)
        #expect(TemporaryDirectory.files(below: partial).isEmpty)
    }

    @Test("Ctrl-C keeps what came, and says so")
    func interrupt() throws {
        let scene = try Scene(TestModel(layers: 2, wide: 3000))
        let process = try begin(scene)
        process.signal(SIGINT)
        let result = process.result()
        #expect(result.status == 130)
        #expect(result.errors.contains("durable"))
        let safe = try safe(scene)
        #expect(safe > 1 << 20)
        try scene.hub.set()
        #expect(try scene.tool()("pull", "org/model").status == 0)
        #expect(try scene.hub.served() <= scene.bytes - safe + (300 << 10))
    }
}
