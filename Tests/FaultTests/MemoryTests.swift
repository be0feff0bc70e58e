import Foundation
import TestSupport
import Testing
@testable import WeightStore

extension Faults {
    @Suite struct MemoryTests {
        let directory = try! TemporaryDirectory()

        @Test(
            "importing a gigabyte takes less than 256 MiB of memory",
            .enabled(if: Machine.measures, Comment(rawValue: Machine.time)))
        func bounded() throws {
            var tool = Tool(store: directory("store"))
            let generated = try tool("generate", directory("model"), "--like", "qwen2.5-0.5b")
            #expect(generated.status == 0, "\(generated.errors)")
            let bytes = try FileSystem.status(directory("model/model.safetensors"))?.bytes ?? 0
            #expect(bytes > 900_000_000)
            for round in ["first", "again"] {
                tool.prefix = ["/usr/bin/time", "-f", "%M", "-o", directory("peak")]
                let imported = try tool("import", directory("model"), "--json")
                #expect(imported.status == 0, "\(imported.errors)")
                #expect(try imported.object()["written"] as? Int ?? 0 > 900_000_000 || round == "again")
                let text = String(decoding: try contents(directory("peak")), as: UTF8.self)
                let peak = try #require(Int(text.filter(\.isNumber)))
                #expect(peak < 256 << 10, "\(round) import: \(peak) KiB")
            }
        }
    }
}
