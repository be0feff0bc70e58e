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

/// A structure of the interface. It begins with its size in the caller's version of the header.
protocol VersionedStruct {
    var struct_size: Int { get set }
    /// The size in the first version of the interface.
    static var firstSize: Int { get }
}

/// The destination of a structure.
func target<Value: VersionedStruct>(
    _ argument: UnsafeMutablePointer<Value>?, _ name: String
) throws(CallError) -> SizedTarget<Value> {
    guard let argument else { throw .argument("the pointer for the \(name) is NULL") }
    guard argument.pointee.struct_size >= Value.firstSize else {
        throw .argument(
            "struct_size of the \(name) is \(argument.pointee.struct_size): must be at least \(Value.firstSize); "
                + "set it to the size of the structure (sizeof)")
    }
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

/// An element by its index.
func element<Element>(_ all: [Element], _ index: Int, _ name: String) throws(CallError) -> Element {
    guard all.indices.contains(index) else {
        throw .argument("\(name) \(index): must be 0 or more and less than \(all.count)")
    }
    return all[index]
}
