import Foundation
import TestSupport
import Testing

/// The real model: all-MiniLM-L6-v2, 90.9 MB, F32, six BERT layers.
@Suite(.blocking, .enabled(if: RealModel.path != nil, "WEIGHTSTORE_REAL_MODEL is not set; Tests/run sets it"))
struct RealModelTests {
    let directory = try! TemporaryDirectory()

    @Test("a real model is imported, and every file is exported with the same SHA-256")
    func roundTrip() throws {
        let source = try #require(RealModel.path)
        let tool = Tool(store: directory("store"))
        #expect(try tool("import", source, "--name", "sentence-transformers/all-MiniLM-L6-v2").status == 0)
        let model = try #require(try tool("ls", "--json").list().first)
        #expect(model["layers"] as? Int == 6)
        #expect(model["tensors"] as? Int == 104)
        #expect(try tool("export", "sentence-transformers/all-MiniLM-L6-v2", directory("out")).status == 0)
        let names = TemporaryDirectory.files(below: source)
        #expect(TemporaryDirectory.files(below: directory("out")) == names)
        #expect(names.contains("model.safetensors"))
        for name in names {
            #expect(try contents("\(source)/\(name)") == contents(directory("out/\(name)")), "\(name)")
        }
        let again = try tool("import", source, "--name", "sentence-transformers/all-MiniLM-L6-v2", "--json").object()
        #expect(again["written"] as? Int == 0)
    }

    @Test("the demo runs to its end with a real model")
    func demo() throws {
        let tool = Tool(store: directory("store"))
        let result = try tool("demo", try #require(RealModel.path), "--name", "minilm")
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("byte for byte"))
        #expect(result.output.contains("read back with the SHA-256 of the original"))
    }
}
