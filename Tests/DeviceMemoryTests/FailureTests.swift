import TestSupport
import Testing

@testable import DeviceMemory

/// Every operation of the module, with a failure at each call of the driver in turn.
@Suite("Failures", .blocking)
struct FailureTests {
    /// Calls whose failure is not reported to the caller: those that free, those that pop a context, and those with a
    /// fallback.
    private static let survived: Set = [
        "cuDevicePrimaryCtxRelease_v2", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuMemFree_v2", "cuMemFreeHost",
        "cuMemHostRegister_v2", "cuMemHostUnregister", "cuStreamDestroy_v2", "cuEventDestroy_v2",
        "cuEventSynchronize", "cuStreamSynchronize",
    ]

    private func scenario(_ double: CUDADouble) async throws {
        let device = try double.open()
        _ = try device.memory()
        let arena = DeviceArena(device, budget: 64 << 10, slabBytes: 64 << 10)
        let uploader = try Uploader(device, buffers: 2, bufferBytes: 1024, fillers: 2)
        let pages = Pages(4096)
        try await withThrowingTaskGroup { group in
            for seed in 0..<4 {
                group.addTask {
                    let region = try arena.allocate(bytes: 5000)
                    try await uploader.upload(.pattern(seed), bytes: 5000, to: region)
                    #expect(try region.read() == pattern(seed, bytes: 5000))
                }
            }
            group.addTask {
                let region = try arena.allocate(bytes: 4096)
                let source = UploadSource.mapped(pages.bytes(), owner: pages, on: device)
                try await uploader.upload(source, bytes: 4096, to: region)
                #expect(try region.read() == Array(pages.bytes()))
            }
            try await group.waitForAll()
        }
        let (one, other) = (try DeviceStream(device), try DeviceStream(device))
        let event = try DeviceEvent(device)
        let region = try arena.allocate(bytes: 1024)
        do {
            try one.copy(from: region.address, to: region.address + 512, bytes: 512)
            try one.record(event)
            _ = try event.isComplete
            try other.wait(for: event)
            try other.synchronize()
        } catch {
            one.drain()
            throw error
        }
        arena.trim()
        keep(region)
    }

    @Test("a driver call that fails is a typed error, and nothing is leaked", arguments: try CUDADouble.functions())
    func everyCall(_ function: String) async throws {
        let fixture = try DeviceFixture(.cuda)
        let double = fixture.double!
        try await scenario(double)
        fixture.check("the clean run")
        let calls = double.calls(function)
        if !function.hasPrefix("cuGetError") { #expect(calls > 0, "\(function) is not tried") }
        for nth in 1...max(calls, 1) {
            double.reset()
            double.fail(function, nth: nth)
            let note = "\(function), call \(nth)"
            do {
                try await scenario(double)
                #expect(Self.survived.contains(function) || double.calls(function) < nth, "\(note) is survived")
            } catch let error as DeviceError {
                guard case .driver(function, 999, _, _, _, _) = error else {
                    Issue.record("\(note): \(error)")
                    return
                }
            } catch {
                Issue.record("\(note): \(error)")
            }
            fixture.check(note)
        }
    }

    @Test("a copy that fails while it runs is a typed error, and nothing is leaked")
    func everyCopy() async throws {
        let fixture = try DeviceFixture(.cuda)
        let double = fixture.double!
        try await scenario(double)
        let copies = double.log.count { $0.hasPrefix("copied") }
        #expect(copies > 20)
        for nth in 1...copies {
            double.reset()
            double.failCopy(nth: nth, code: 700)
            let error = await #expect(throws: DeviceError.self) { try await scenario(double) }
            guard case .driver(_, 700, "CUDA_ERROR_ILLEGAL_ADDRESS", _, .cuda(0), _) = error else {
                Issue.record("copy \(nth): \(String(describing: error))")
                return
            }
            fixture.check("copy \(nth)")
        }
    }
}
