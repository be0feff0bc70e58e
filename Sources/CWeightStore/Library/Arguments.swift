import CWeightStoreHeader
import Glibc
import WeightStore

/// A required string argument.
func text(_ argument: UnsafePointer<CChar>?, _ name: String) throws(CallError) -> String {
    guard let text = try optionalText(argument, name) else { throw .argument("the \(name) is NULL") }
    return text
}

/// A string argument that can be NULL.
func optionalText(_ argument: UnsafePointer<CChar>?, _ name: String) throws(CallError) -> String? {
    guard let argument else { return nil }
    guard let text = String(validatingCString: argument) else { throw .argument("the \(name) is not UTF-8") }
    return text
}

func tier(_ argument: UnsafePointer<CChar>?) throws -> Tier {
    // The most common tier without creating a string, because every lease passes a tier.
    if let argument, strcmp(argument, "ram") == 0 { return .ram }
    return try Tier(text(argument, "tier"))
}

/// The destination of a result.
func target<Value>(
    _ argument: UnsafeMutablePointer<Value>?, _ name: String
) throws(CallError) -> UnsafeMutablePointer<Value> {
    guard let argument else { throw .argument("the pointer for the \(name) is NULL") }
    return argument
}

/// An array of strings that can be NULL.
func texts(
    _ argument: UnsafePointer<UnsafePointer<CChar>?>?, count: Int, _ name: String
) throws(CallError) -> [String] {
    guard count >= 0 else { throw .argument("the number of \(name)s is out of range") }
    guard count > 0 else { return [] }
    guard let argument else { throw .argument("the \(name)s are NULL, and their number is \(count)") }
    var found: [String] = []
    for index in 0..<count { found.append(try text(argument[index], name)) }
    return found
}

/// The range between two numbers of a caller.
func range(_ name: String, _ first: Int64, _ last: Int64) throws(CallError) -> ClosedRange<Int> {
    guard 0 <= first, first <= last else {
        throw .argument("\(name) \(first) to \(last): must be 0 or more, in ascending order")
    }
    return Int(first)...Int(last)
}

/// A structure of the interface. It begins with its size in the caller's version of the header.
protocol VersionedStruct {
    /// A structure of zeros.
    init()
    var struct_size: Int { get set }
    /// The size in the first version of the interface.
    static var firstSize: Int { get }
}

/// A structure of the caller. It may be that of an earlier version of the header, which is shorter: fields that it lacks
/// are zero.
func given<Value: VersionedStruct>(_ argument: UnsafePointer<Value>?, _ name: String) throws(CallError) -> Value {
    guard let value = try optionalGiven(argument, name) else { throw .argument("the \(name) are NULL") }
    return value
}

/// As `given`, for a structure that can be NULL.
func optionalGiven<Value: VersionedStruct>(
    _ argument: UnsafePointer<Value>?, _ name: String
) throws(CallError) -> Value? {
    guard let argument else { return nil }
    let size = UnsafeRawPointer(argument).load(as: Int.self)
    guard size >= Value.firstSize else { throw tooSmall(size, Value.firstSize, name) }
    var value = Value()
    withUnsafeMutableBytes(of: &value) { target in
        target.copyMemory(from: UnsafeRawBufferPointer(start: argument, count: min(size, target.count)))
    }
    return value
}

private func tooSmall(_ size: Int, _ least: Int, _ name: String) -> CallError {
    .argument(
        "struct_size of the \(name) is \(size): must be at least \(least); set it to the size of the structure (sizeof)"
    )
}

/// The destination of a structure.
func target<Value: VersionedStruct>(
    _ argument: UnsafeMutablePointer<Value>?, _ name: String
) throws(CallError) -> SizedTarget<Value> {
    guard let target = try optionalTarget(argument, name) else {
        throw .argument("the pointer for the \(name) is NULL")
    }
    return target
}

/// As `target`, for a structure that can be NULL.
func optionalTarget<Value: VersionedStruct>(
    _ argument: UnsafeMutablePointer<Value>?, _ name: String
) throws(CallError) -> SizedTarget<Value>? {
    guard let argument else { return nil }
    let size = argument.pointee.struct_size
    guard size >= Value.firstSize else { throw tooSmall(size, Value.firstSize, name) }
    return SizedTarget(pointer: argument)
}

struct SizedTarget<Value: VersionedStruct> {
    let pointer: UnsafeMutablePointer<Value>

    /// Fills in the fields that fit into the caller's size.
    ///
    /// Not inlined: see `MappedBlob.copy`.
    @inline(never) func fill(_ value: Value) {
        let size = pointer.pointee.struct_size
        var value = value
        value.struct_size = size
        withUnsafeBytes(of: &value) { bytes in
            UnsafeMutableRawPointer(pointer).copyMemory(
                from: bytes.baseAddress!, byteCount: min(size, bytes.count))
        }
    }

    /// Fills in an array of structures, each of the size of the first one.
    @inline(never) func fill(_ values: ArraySlice<Value>) {
        let size = pointer.pointee.struct_size
        var place = UnsafeMutableRawPointer(pointer)
        for value in values {
            var value = value
            value.struct_size = size
            withUnsafeBytes(of: &value) { bytes in
                place.copyMemory(from: bytes.baseAddress!, byteCount: min(size, bytes.count))
            }
            place += size
        }
    }
}

/// The body of a function that fills in a structure about the value of a handle.
func fill<Owner: HandleValue, Value: VersionedStruct>(
    _ result: UnsafeMutablePointer<Value>?, _ name: String, of handle: OpaquePointer?,
    _ value: (Owner) throws -> Value
) -> weightstore_status {
    call {
        let owner: Owner = try Handles.all.find(handle)
        let target: SizedTarget = try target(result, name)
        target.fill(try value(owner))
    }
}

/// An element by its index.
func element<Element>(_ all: [Element], _ index: Int, _ name: String) throws(CallError) -> Element {
    guard all.indices.contains(index) else {
        throw .argument("\(name) \(index): must be 0 or more and less than \(all.count)")
    }
    return all[index]
}
