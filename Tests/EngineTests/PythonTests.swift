import Foundation
import TestSupport
import Testing

/// A Python with numpy, safetensors and gguf, and PyTorch if it could be installed; `Tests/run` creates one.
enum EnginePython {
    /// The environment by which a script of `Python/` finds the package, the library and the tool.
    static var environment: [String: String] {
        [
            "PYTHONPATH": CProgram.sources.appendingPathComponent("../../Sources/Python").standardizedFileURL.path,
            "WEIGHTSTORE_LIBRARY": CProgram.build + "/libweightstore-c.so",
            "WEIGHTSTORE_TOOL": Tool.path,
        ]
    }

    static func command(_ script: String, _ arguments: String...) throws -> [String] {
        [try #require(HubPython.path), CProgram.sources.appendingPathComponent("Python/\(script)").path] + arguments
    }
}

/// Its test lasts longer than most, and so begins with the first.
@Suite(
    .blockingInTurn, .serialized,
    .enabled(if: HubPython.path != nil, "WEIGHTSTORE_HUB_PYTHON is not set; Tests/run sets it"))
struct PythonTests {
    @Test("the Python package returns the same as safetensors", .timeLimit(.minutes(60)))
    func package() throws {
        try pass("test_weightstore.py")
    }

    @Test("the example engines in C, Rust and llama.cpp compute from the store", .timeLimit(.minutes(30)))
    func examples() throws {
        try pass("test_examples.py")
    }

    @Test(
        "a model is served, trained, sliced, pickled, forked and interrupted through every interface, to the last bit",
        .timeLimit(.minutes(30)))
    func engine() throws {
        try pass("test_engine.py")
    }

    @Test("a wheel with the library in it is all that an environment needs", .timeLimit(.minutes(30)))
    func wheel() throws {
        try pass("test_wheel.py")
    }

    /// Runs a Python program of tests, which must pass, and prints what it skips.
    private func pass(_ program: String) throws {
        let result = try ChildProcess.run(
            try EnginePython.command(program), environment: EnginePython.environment)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.contains("\nOK"))
        for line in result.errors.split(separator: "\n") where line.contains("skipped") { print(line) }
    }
}
