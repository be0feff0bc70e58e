import CFUSE
import Glibc

/// A request of the kernel: its header, and the arguments behind it. The memory belongs to the thread that has read it.
struct FUSERequest {
    let header: fuse_in_header
    let arguments: UnsafeRawBufferPointer

    /// - Returns: nil for bytes that are no request.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let size = MemoryLayout<fuse_in_header>.size
        guard bytes.count >= size else { return nil }
        header = bytes.loadUnaligned(as: fuse_in_header.self)
        guard Int(header.len) == bytes.count else { return nil }
        arguments = UnsafeRawBufferPointer(rebasing: bytes[size...])
    }

    var operation: fuse_opcode { fuse_opcode(header.opcode) }
    var unique: UInt64 { header.unique }
    var node: UInt64 { header.nodeid }

    /// The arguments as a structure of the protocol; nil if they are shorter.
    func argument<Value: BitwiseCopyable>(_ type: Value.Type) -> Value? {
        arguments.count >= MemoryLayout<Value>.size ? arguments.loadUnaligned(as: type) : nil
    }

    /// The name that ends with a zero byte, from an offset in the arguments; nil if it is not UTF-8.
    func name(at offset: Int = 0) -> String? {
        guard offset <= arguments.count else { return nil }
        let bytes = arguments[offset...].prefix { $0 != 0 }
        return String(validating: bytes, as: UTF8.self)
    }
}
