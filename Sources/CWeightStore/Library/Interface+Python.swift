import CWeightStoreHeader
import Glibc

// weightstore.h documents the functions.

/// The functions of CPython for capsules, which are in the process if Python is.
private struct CapsuleFunctions: Sendable {
    let isValid: @convention(c) @Sendable (UnsafeMutableRawPointer, UnsafePointer<CChar>) -> Int32
    let pointer: @convention(c) @Sendable (UnsafeMutableRawPointer, UnsafePointer<CChar>) -> UnsafeMutableRawPointer?

    static let found = CapsuleFunctions()

    private init?() {
        // NULL means the symbols of the whole process.
        guard let isValid = dlsym(nil, "PyCapsule_IsValid"), let pointer = dlsym(nil, "PyCapsule_GetPointer") else {
            return nil
        }
        self.isValid = unsafeBitCast(
            isValid, to: (@convention(c) @Sendable (UnsafeMutableRawPointer, UnsafePointer<CChar>) -> Int32).self)
        self.pointer = unsafeBitCast(
            pointer,
            to: (@convention(c) @Sendable (UnsafeMutableRawPointer, UnsafePointer<CChar>) -> UnsafeMutableRawPointer?)
                .self)
    }

    /// The tensor in a capsule with this name; nil if a consumer has renamed it.
    func tensor<Value>(in capsule: UnsafeMutableRawPointer, named name: String, _: Value.Type)
        -> UnsafeMutablePointer<Value>?
    {
        name.withCString { name in
            guard isValid(capsule, name) != 0 else { return nil }
            return pointer(capsule, name)?.assumingMemoryBound(to: Value.self)
        }
    }
}

@c @implementation
public func weightstore_dlpack_capsule_end(_ capsule: UnsafeMutableRawPointer?) {
    guard let capsule, let functions = CapsuleFunctions.found else { return }
    if let tensor = functions.tensor(in: capsule, named: "dltensor", DLManagedTensor.self) {
        tensor.pointee.deleter?(tensor)
    } else if let tensor = functions.tensor(
        in: capsule, named: "dltensor_versioned", DLManagedTensorVersioned.self)
    {
        tensor.pointee.deleter?(tensor)
    }
}
