import Foundation
import ModelFormats
import TestSupport
import Testing

/// The C interface, used by C programs.
@Suite(.blocking)
struct InterfaceTests {
    let directory = try! TemporaryDirectory()

    /// A model in which two tensors have the same bytes.
    private let model: TestModel = {
        var model = TestModel(layers: 2)
        model.copies["model.layers.1.self_attn.q_proj.weight"] = "model.layers.0.self_attn.q_proj.weight"
        return model
    }()

    private func store(_ model: TestModel) throws -> String {
        try model.write(to: directory("model"))
        let tool = Tool(store: directory("store"))
        let result = try tool("import", directory("model"), "--name", "test/model")
        try #require(result.status == 0, "\(result.errors)")
        return directory("store")
    }

    /// The expected output of the program for a model.
    private func lines(_ model: TestModel) throws -> [String] {
        let layout = try SafetensorsWriter(model.tensors).tensors
        return layout.sorted { $0.name < $1.name }.map { tensor in
            let sum = model.bytes(of: tensor).reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            let digits = String(sum, radix: 16)
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            return
                "tensor \(tensor.name) \(tensor.dtype) \(shape) \(String(repeating: "0", count: 16 - digits.count))\(digits)"
        } + ["done"]
    }

    @Test(
        "the header is C and C++, without a warning",
        arguments: [["-x", "c", "-std=c99"], ["-x", "c++", "-std=c++11"]])
    func header(language: [String]) throws {
        let file = try directory.write("#include <weightstore.h>\n", to: "header.txt")
        let command =
            ["cc"] + language
            + ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I", CProgram.header, file]
        let result = try ChildProcess.run(command)
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test("a C program sees every tensor's bytes, gets a status for each wrong call, and leaves no handle")
    func wholeInterface() throws {
        let program = try CProgram("interface")
        let result = try ChildProcess.run([program.path, try store(model), "test/model"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.split(separator: "\n").map(String.init) == (try lines(model)))
    }

    @Test("on a GPU, whose driver is the tests' double, tensors have device addresses, in DLPack, too")
    func gpu() throws {
        let program = try CProgram("interface")
        let result = try ChildProcess.run(
            [program.path, try store(model), "test/model", "gpu"],
            environment: ["WEIGHTSTORE_CUDA_LIBRARY": CProgram.build + "/libcuda-double.so"])
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test("a C program makes a store, imports, lists, tags, warms, removes, leases asynchronously, and reads blobs")
    func managing() throws {
        try model.write(to: directory("model"))
        let program = try CProgram("managing")
        let result = try ChildProcess.run([program.path, directory("store"), directory("model")])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output == "done\n")
    }

    @Test("valgrind finds no fault in managing a store")
    func valgrindOfManaging() throws {
        try model.write(to: directory("model"))
        let program = try CProgram("managing", withoutDebugInformation: true)
        let result = try ChildProcess.run([
            "valgrind", "--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=9", program.path,
            directory("store"), directory("model"),
        ])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.contains("ERROR SUMMARY: 0 errors"))
    }

    @Test("valgrind finds no leak and no access to memory that is not the program's")
    func valgrind() throws {
        let program = try CProgram("interface", withoutDebugInformation: true)
        let result = try ChildProcess.run([
            "valgrind", "--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=9",
            "--child-silent-after-fork=yes", program.path, try store(model), "test/model",
        ])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.contains("ERROR SUMMARY: 0 errors"))
        #expect(result.output.split(separator: "\n").map(String.init) == (try lines(model)))
    }
}
