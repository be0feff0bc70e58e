import TestSupport
import Testing

@testable import DeviceMemory

@Suite("Kinds of devices", .blocking)
struct DeviceKindTests {
    /// A kind that the library does not know.
    private enum Shelf: DeviceKind {
        static let name = "shelf"
        static let isNumbered = true
        static let isHostMemory = true
        static let dlpackType: Int32 = 1

        static func open(_ number: Int) throws(DeviceError) -> any Device {
            let device = DeviceName(Shelf.self, number)
            guard number < 4 else { throw .noSuchDevice(device, count: 4) }
            return HostDevice(name: device)
        }
    }

    @Test("a kind that is registered gives its devices names, opens them, and is listed where a name is unknown")
    func registered() throws {
        DeviceKinds.register(Shelf.self)
        let name = try DeviceName("shelf:3")
        #expect(name == DeviceName(Shelf.self, 3) && name.description == "shelf:3" && name.number == 3)
        #expect(try name.open().name == name)
        for text in ["shelf", "shelf:", "shelf:-1", "shelf:03", "host:0", "cuda:99999999999999999999"] {
            #expect(throws: DeviceError.unknownName(text)) { try DeviceName(text) }
        }
        let unknown = "\(DeviceError.unknownName("tpu"))"
        #expect(
            unknown.contains("\"tpu\"") && unknown.contains("ram, gpu, host, cuda:0, cuda:1, …")
                && unknown.contains("shelf:0"))
        let missing = #expect(throws: DeviceError.noSuchDevice(DeviceName(Shelf.self, 4), count: 4)) {
            try DeviceName("shelf:4").open()
        }
        #expect("\(missing!)" == "shelf:4: no such device: the last is shelf:3.")
        #expect("\(DeviceError.unavailable(name, reason: "it is off."))" == "shelf:3: it is off.")
    }

    @Test("each number is a device of its own, for every kind")
    func numbers() throws {
        let names =
            try (0..<100).map { try DeviceName("cuda:\($0)") } + (0..<100).map { DeviceName(Shelf.self, $0) } + [.host]
        #expect(Set(names).count == 201)
        #expect(Set(names.map(\.description)).count == 201)
    }

    @Test("the seventeenth GPU can be opened")
    func seventeenth() throws {
        let double = try CUDADouble()
        double.setDevices(17)
        #expect(try double.open(16).name.description == "cuda:16")
        #expect(throws: DeviceError.noSuchDevice(.cuda(17), count: 17)) { try double.open(17) }
    }
}
