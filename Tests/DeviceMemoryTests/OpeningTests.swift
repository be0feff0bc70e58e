import Glibc
import TestSupport
import Testing

@testable import DeviceMemory

@Suite("Opening a device", .blocking)
struct OpeningTests {
    @Test("a name is host, or cuda: and a number")
    func names() throws {
        #expect(try DeviceName("host") == .host)
        #expect(try DeviceName("cuda:0") == .cuda(0))
        #expect(try DeviceName("cuda:12").description == "cuda:12")
        for name in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda:01", "cuda:x", "Host"] {
            #expect(throws: DeviceError.unknownName(name)) { try DeviceName(name) }
        }
    }

    @Test("the driver is the given one, otherwise the environment's, otherwise the system's")
    func path() {
        #expect(CUDALibrary.path("/a/driver.so") == "/a/driver.so")
        let named = getenv(CUDALibrary.variable).map { String(cString: $0) }
        #expect(CUDALibrary.path() == named ?? "libcuda.so.1")
    }

    @Test("without a driver, the message names the searched paths and the next step")
    func driverMissing() {
        let error = #expect(throws: DeviceError.self) { try CUDAKind.open(0, library: "/no/libcuda.so.1") }
        guard case .driverMissing("/no/libcuda.so.1", let reason) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("No such file"))
        #expect("\(error!)".contains("WEIGHTSTORE_CUDA_LIBRARY"))
        #expect("\(error!)".contains("\"host\""))
    }

    @Test("a library that lacks a function is named with the function")
    func symbolMissing() {
        #expect(throws: DeviceError.symbolMissing(symbol: "cuInit", path: "libc.so.6")) {
            try CUDAKind.open(0, library: "libc.so.6")
        }
    }

    @Test("a number beyond the last device is an error that lists the devices")
    func wrongDevice() throws {
        let double = try CUDADouble()
        let error = #expect(throws: DeviceError.noSuchDevice(.cuda(2), count: 2)) { try double.open(2) }
        #expect("\(error!)".contains("the last is cuda:1"))
    }

    @Test("a driver without a device is an error of its own")
    func noDevice() throws {
        let double = try CUDADouble()
        double.setDevices(0)
        #expect(try CUDALibrary(double.path).deviceCount() == 0)
        let error = #expect(throws: DeviceError.noSuchDevice(.cuda(0), count: 0)) { try double.open() }
        #expect("\(error!)".contains("reports no CUDA device"))
    }

    @Test("devices can be described without creating a context")
    func properties() throws {
        let double = try CUDADouble()
        let library = try CUDALibrary(double.path)
        let properties = try (0..<library.deviceCount()).map { try library.properties(of: $0) }
        #expect(properties.map(\.model) == ["Double 0", "Double 1"])
        #expect(properties.map(\.totalBytes) == [1 << 30, 1 << 30])
        #expect(double.calls("cuDevicePrimaryCtxRetain") == 0)
    }

    @Test("a failure has the function, the driver's code, name and words, the device and the bytes")
    func failureWords() throws {
        let double = try CUDADouble()
        let device = try double.open()
        double.fail("cuMemHostAlloc", code: 700)
        let error = #expect(throws: DeviceError.self) { try PinnedMemory(device, bytes: 4096) }
        #expect(
            "\(error!)"
                == "cuda:0: cuMemHostAlloc: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered (4096 bytes)."
        )
        // A code that the driver has no text for, or a driver that fails to return it.
        double.fail("cuStreamCreate", code: 12345)
        #expect(
            throws: DeviceError.driver(
                function: "cuStreamCreate", code: 12345, name: "unknown error", text: "no description",
                device: .cuda(0))
        ) { try DeviceStream(device) }
    }

    @Test("a device reports its name, model and memory", arguments: Kind.allCases)
    func memory(_ kind: Kind) throws {
        let device = try DeviceFixture(kind).open()
        #expect(device.name == (kind == .host ? .host : .cuda(0)))
        #expect(!device.model.isEmpty)
        let before = try device.memory()
        #expect(before.total > 0 && before.free > 0 && before.free <= before.total)
        let slab = try DeviceSlab(device, bytes: 1 << 20)
        if kind == .cuda { #expect(try device.memory().free == before.free - slab.bytes) }
    }

    @Test(
        "an allocation above the device's memory is an error with the requested and the free bytes",
        arguments: Kind.allCases)
    func outOfMemory(_ kind: Kind) throws {
        let fixture = try DeviceFixture(kind)
        let device = try fixture.open()
        let error = #expect(throws: DeviceError.self) { try DeviceSlab(device, bytes: 1 << 50) }
        guard case .outOfMemory(device.name, requested: 1 << 50, let free) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(free > 0)
        if kind == .cuda { #expect(free == 1 << 30) }
    }
}
