import DeviceMemory
import Glibc

/// A CUDA driver of the test's own: a copy of the test double's library (Tests/CUDADouble), which shares nothing with
/// other tests'.
package final class CUDADouble: Sendable {
    package let path: String
    private nonisolated(unsafe) let handle: UnsafeMutableRawPointer

    package init() throws {
        path = try Self.copyLibrary()
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)!
    }

    deinit { unlink(path) }

    package func open(_ ordinal: Int = 0) throws(DeviceError) -> any Device {
        try CUDAKind.open(ordinal, library: path)
    }

    package func reset() { symbol("cuda_double_reset", as: (@convention(c) () -> Void).self)() }

    package func setDevices(_ count: Int, bytes: Int = 1 << 30) {
        symbol("cuda_double_devices", as: (@convention(c) (Int32, UInt) -> Void).self)(Int32(count), UInt(bytes))
    }

    package func shift(bytes: Int) {
        symbol("cuda_double_shift", as: (@convention(c) (Int32) -> Void).self)(Int32(bytes))
    }

    package func fail(_ function: String, nth: Int = 1, code: Int32 = 999) {
        symbol("cuda_double_fail", as: (@convention(c) (UnsafePointer<CChar>, Int32, Int32) -> Void).self)(
            function, Int32(nth), code)
    }

    package func failCopy(nth: Int, code: Int32) {
        symbol("cuda_double_fail_copy", as: (@convention(c) (Int32, Int32) -> Void).self)(Int32(nth), code)
    }

    package func calls(_ function: String) -> Int {
        Int(symbol("cuda_double_calls", as: (@convention(c) (UnsafePointer<CChar>) -> Int32).self)(function))
    }

    package func hold(_ held: Bool) {
        symbol("cuda_double_hold", as: (@convention(c) (Int32) -> Void).self)(held ? 1 : 0)
    }

    package func delay(microseconds: Int) {
        symbol("cuda_double_delay", as: (@convention(c) (Int32) -> Void).self)(Int32(microseconds))
    }

    package func note(_ line: String) {
        symbol("cuda_double_note", as: (@convention(c) (UnsafePointer<CChar>) -> Void).self)(line)
    }

    package var log: [String] { lines("cuda_double_log") }
    package var violations: [String] { lines("cuda_double_violation_words") }
    package var live: Int { Int(symbol("cuda_double_live", as: (@convention(c) () -> Int32).self)()) }
    package var liveWords: String { lines("cuda_double_live_words").joined() }
    /// How many contexts are current on this thread, one under the other.
    package var contextDepth: Int { Int(symbol("cuda_double_depth", as: (@convention(c) () -> Int32).self)()) }

    package func pushForeignContext() -> OpaquePointer {
        symbol("cuda_double_push_foreign", as: (@convention(c) () -> OpaquePointer).self)()
    }

    private func symbol<Function>(_ name: String, as type: Function.Type) -> Function {
        unsafeBitCast(dlsym(handle, name)!, to: type)
    }

    private func lines(_ function: String) -> [String] {
        let text = symbol(function, as: (@convention(c) () -> UnsafeMutablePointer<CChar>).self)()
        defer { free(text) }
        return String(cString: text).split(separator: "\n").map(String.init)
    }

    /// The library is in the directory of the test program, where the build puts both.
    private static func copyLibrary() throws -> String {
        var program = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &program, program.count)
        let directory = String(decoding: program.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            .split(separator: "/").dropLast().joined(separator: "/")
        let source = "/\(directory)/libcuda-double.so"
        let from = Glibc.open(source, O_RDONLY | O_CLOEXEC)
        guard from >= 0 else { throw DeviceError.system(operation: source, code: errno) }
        defer { close(from) }
        var template = Array("/tmp/cuda-double-XXXXXX".utf8CString)
        let to = mkstemp(&template)
        guard to >= 0 else { throw DeviceError.system(operation: "mkstemp", code: errno) }
        defer { close(to) }
        while true {
            let count = sendfile(to, from, nil, 1 << 20)
            if count < 0 { throw DeviceError.system(operation: "sendfile", code: errno) }
            if count == 0 { break }
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
