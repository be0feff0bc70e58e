import Foundation
import TestSupport
import Testing

/// Engines in three languages on the real model, beside safetensors and NumPy on the original file.
@Suite(
    .blocking, .enabled(if: RealModel.path != nil, "WEIGHTSTORE_REAL_MODEL is not set; Tests/run sets it"),
    .enabled(if: HubPython.path != nil, "WEIGHTSTORE_HUB_PYTHON is not set; Tests/run sets it"))
struct RealModelTests {
    private let directory = try! TemporaryDirectory()
    private let model = "sentence-transformers/all-MiniLM-L6-v2"

    private func importModel() throws -> String {
        let tool = Tool(store: directory("store"))
        let result = try tool("import", try #require(RealModel.path), "--name", model)
        try #require(result.status == 0, "\(result.errors)")
        return tool.store
    }

    private var engine: String { CProgram.build + "/example-engine" }

    @Test(
        "a C program, a Python script and a Swift program load a real model at the same time, and compute the same as NumPy"
    )
    func together() throws {
        let store = try importModel()
        let source = try #require(RealModel.path)
        let expected = try ChildProcess.run(try EnginePython.command("embedding.py", source + "/model.safetensors"))
        try #require(expected.status == 0, "\(expected.errors)")
        let barrier = directory("barrier")
        try FileManager.default.createDirectory(atPath: barrier, withIntermediateDirectories: true)
        let program = try CProgram("embedding")
        let programs = [
            [program.path, store, model, barrier],
            try EnginePython.command("embedding.py", store, model, barrier),
            [engine, store, model, "checksum", barrier],
        ]
        let running = try programs.map { try ChildProcess($0, environment: EnginePython.environment) }
        for (program, result) in zip(["C", "Python", "Swift"], running.map({ $0.result() })) {
            #expect(result.status == 0, "\(program): \(result.errors)")
            #expect(result.output == expected.output, "\(program)")
        }
        #expect(UInt64(expected.output.dropLast()) != nil)
    }

    @Test("the example engine's layers, streamed through RAM, compute the same as NumPy from the original file")
    func forward() throws {
        let store = try importModel()
        let source = try #require(RealModel.path)
        // [CLS] the quick brown fox [SEP]
        let tokens = ["101", "1996", "4248", "2829", "4419", "102"]
        struct States: Decodable { let first, last: [Double] }
        func states(_ command: [String]) throws -> States {
            let result = try ChildProcess.run(command)
            try #require(result.status == 0, "\(result.errors)")
            return try JSONDecoder().decode(States.self, from: Data(result.bytes))
        }
        let found = try states([engine, store, model, "forward"] + tokens)
        let expected = try states(try EnginePython.command("forward.py", source) + tokens)
        try #require(found.first.count == tokens.count * 384 && expected.first.count == found.first.count)
        // The rounding of 32-bit floats; values are about 1.
        #expect(zip(found.first, expected.first).allSatisfy { abs($0 - $1) < 1e-4 })
        #expect(zip(found.last, expected.last).allSatisfy { abs($0 - $1) < 1e-4 })
    }
}
