/// Where the bytes of an upload come from.
package enum UploadSource: Sendable {
    /// Fills the buffer it is given with the bytes from an offset on. Called on several threads at once, for different
    /// offsets, in no certain order.
    case filling(@Sendable (UnsafeMutableRawBufferPointer, _ offset: Int) throws -> Void)
    /// Pinned where it is: copied without a staging buffer, all at once.
    case registered(RegisteredMemory)

    /// Memory that is mapped: pinned where it is if the driver does that, else staged.
    ///
    /// - Parameter bytes: nobody changes them.
    /// - Parameter owner: keeps `bytes` mapped as long as it lives.
    package static func mapped(_ bytes: UnsafeRawBufferPointer, owner: any Sendable, on device: any Device) -> Self {
        // Refusal is an answer here, not a failure; a broken device fails the copies too.
        guard bytes.count > 0, let memory = try? RegisteredMemory(device, bytes, owner: owner) else {
            return .staged(bytes, owner: owner)
        }
        return .registered(memory)
    }

    /// Memory that is copied through the staging buffers.
    ///
    /// - Parameter owner: keeps `bytes` as long as it lives.
    package static func staged(_ bytes: UnsafeRawBufferPointer, owner: any Sendable) -> Self {
        nonisolated(unsafe) let bytes = bytes
        return .filling { buffer, offset in
            withExtendedLifetime(owner) {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + buffer.count]))
            }
        }
    }
}
