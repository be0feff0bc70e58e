import Foundation
import TestSupport
import Testing

extension Faults {
    /// A process with less memory than the machine, in a control group of version 1. `SystemLimitsTests` has version 2, on
    /// files: no machine has the memory controller in both.
    @Suite struct ContainerLimitTests {
        private let directory = try! TemporaryDirectory()

        @Test(
            "the default budget of ram is at most the container's memory, and that of host and of locked pages half of it",
            .enabled(if: Machine.limitsMemory, Comment(rawValue: Machine.groups)))
        func budgets() throws {
            let limit = 512 << 20
            let group = try MemoryGroup(bytes: limit)
            try TestModel().write(to: directory("model"))
            var tool = Tool(store: directory("store"))
            #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
            tool.prefix = group.prefix
            func budget(_ options: String...) throws -> Int {
                let result = try tool.run(["load", "org/model", "--json"] + options)
                #expect(result.status == 0, "\(options): \(result.errors)")
                return try #require((result.object()["tier"] as? [String: Any])?["budget"] as? Int)
            }
            let ram = try budget("--to", "ram")
            #expect(ram > 0 && ram <= limit)
            #expect(try 1...limit / 2 ~= budget("--to", "host"))
            #expect(try 1...limit / 2 ~= budget("--to", "ram", "--lock"))
        }

        @Test(
            "a model that does not fit the container's memory is refused with the figures, and no process is killed",
            .enabled(if: Machine.limitsMemory, Comment(rawValue: Machine.groups)))
        func refused() throws {
            let group = try MemoryGroup(bytes: 256 << 20)
            var model = TestModel()
            for layer in 0..<5 {
                model.tensors.append(
                    .init(name: "model.layers.\(layer).mlp.down_proj.weight", dtype: "U8", shape: [32 << 20]))
            }
            try model.write(to: directory("model"))
            var tool = Tool(store: directory("store"))
            #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
            tool.prefix = group.prefix
            for options in [["--to", "host"], ["--to", "ram", "--lock"]] {
                let result = try tool.run(["load", "org/model"] + options)
                #expect(result.status == 1, "\(options): \(result.status) \(result.errors)")
                #expect(result.errors.contains("of the budget of"), "\(options): \(result.errors)")
            }
        }
    }
}
