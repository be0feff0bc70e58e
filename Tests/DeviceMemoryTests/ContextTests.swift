import TestSupport
import Testing

@testable import DeviceMemory

@Suite("CUDA contexts", .blocking)
struct ContextTests {
    @Test("calls work from any thread, and leave no context behind on it")
    func manyThreads() throws {
        let fixture = try DeviceFixture(.cuda)
        let double = fixture.double!
        do {
            let device = try double.open()
            let stream = try DeviceStream(device)
            try onThreads(16) { _ in
                for _ in 0..<20 {
                    let event = try DeviceEvent(device)
                    try stream.record(event)
                    try event.synchronize()
                    #expect(try event.isComplete)
                    #expect(try device.memory().total == 1 << 30)
                    #expect(double.contextDepth == 0)
                }
            }
        }
        fixture.check()
    }

    @Test("a context that an engine's thread works with is current again after each call")
    func foreignContext() throws {
        let double = try CUDADouble()
        let device = try double.open()
        let foreign = double.pushForeignContext()
        let slab = try DeviceSlab(device, bytes: 512)
        _ = try? DeviceSlab(device, bytes: 1 << 50)
        keep(slab)
        #expect(double.contextDepth == 1)
        var top: OpaquePointer?
        _ = try CUDALibrary(double.path).functions.cuCtxPopCurrent_v2(&top)
        #expect(top == foreign)
        #expect(double.violations == [])
    }

    @Test("the primary context is retained once a device, and released with it")
    func primaryContext() throws {
        let fixture = try DeviceFixture(.cuda)
        let double = fixture.double!
        do {
            let one = try double.open(0)
            let other = try double.open(1)
            let again = try double.open(0)
            #expect(double.calls("cuDevicePrimaryCtxRetain") == 3)
            #expect([one.name, other.name, again.name] == [.cuda(0), .cuda(1), .cuda(0)])
        }
        #expect(double.calls("cuDevicePrimaryCtxRelease_v2") == 3)
        fixture.check()
    }

    @Test("an error during a release is kept with the device")
    func releaseFailure() throws {
        let fixture = try DeviceFixture(.cuda)
        do {
            let device = try fixture.open()
            fixture.double!.fail("cuEventDestroy_v2")
            _ = try DeviceEvent(device)
            guard case .driver("cuEventDestroy_v2", 999, _, _, .cuda(0), _) = device.releaseFailure else {
                Issue.record("\(String(describing: device.releaseFailure))")
                return
            }
        }
        fixture.check()
    }
}
