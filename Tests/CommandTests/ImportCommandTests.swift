import Foundation
import TestSupport
import Testing

/// `weightstore import` of a cache with damaged files, and at a low limit of open files.
@Suite(.blocking) struct ImportCommandTests {
    private let directory = try! TemporaryDirectory()

    @Test("of a cache with a damaged file the rest is imported, the failures are listed, and the status is 6")
    func failures() throws {
        let commit = String(repeating: "a", count: 40)
        let model = TestModel(layers: 1, wide: 64)
        let whole = try model.file(model.tensors)
        for (name, bytes) in [("a", whole), ("b", Array(whole.dropLast(10))), ("c", whole)] {
            try directory.write(bytes, to: "home/hub/models--org--\(name)/snapshots/\(commit)/model.safetensors")
        }
        try directory.write("hf_secret", to: "home/token")
        let tool = Tool(store: directory("store"))
        let text = try tool("import", directory("home"))
        #expect(text.status == 6)
        #expect(text.output.contains("org/a@~1") && text.output.contains("org/c@~1"))
        #expect(text.errors.contains("org/b: not imported: "), "\(text.errors)")
        #expect(text.errors.contains("token: skipped: "), "\(text.errors)")
        let json = try tool("import", directory("home"), "--json")
        #expect(json.status == 6)
        let failures = try #require(try json.object()["failures"] as? [[String: Any]])
        #expect(failures.map { $0["model"] as? String } == ["org/b"])
        #expect((failures.first?["reason"] as? String)?.contains("model.safetensors") == true)
    }

    @Test(
        "with too few open files, an import is refused with the limit, the number needed and the command that raises it"
    )
    func tooFewOpenFiles() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        var tool = Tool(store: directory("store"))
        tool.prefix = ["/bin/sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]
        let result = try tool("import", directory("model"), "--name", "org/model")
        #expect(result.status == 1, "\(result.status) \(result.errors)")
        #expect(result.errors.contains("the limit of open files is 64"), "\(result.errors)")
        #expect(result.errors.contains("ulimit -n 128"), "\(result.errors)")
        tool.prefix = []
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
    }

    @Test(
        "a model of many small shards is imported, verified and exported at 256 open files, and at 128",
        arguments: [256, 128])
    func openFiles(_ limit: Int) throws {
        var model = TestModel(layers: 0)
        model.tensors = (0..<400).map { .init(name: "model.layers.\($0).weight", dtype: "U8", shape: [4096]) }
        try model.write(to: directory("model"))
        var tool = Tool(store: directory("store"))
        tool.prefix = ["/bin/sh", "-c", "ulimit -n \(limit); exec \"$0\" \"$@\""]
        for arguments in [
            ["import", directory("model"), "--name", "org/model"], ["import", directory("model"), "--rehash"],
            ["verify"],
            ["export", "org/model", directory("out")],
        ] {
            let result = try tool.run(arguments)
            #expect(result.status == 0, "\(arguments): \(result.errors)")
        }
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("model/model.safetensors")))
    }
}
