/// The source of an upload's bytes.
package enum UploadSource: Sendable {
    /// Fills the given buffer with the bytes that begin at an offset. Called on several threads at once, for different
    /// offsets, in no particular order.
    case filling(@Sendable (UnsafeMutableRawBufferPointer, _ offset: Int) throws -> Void)
    /// Memory pinned in place: copied without a staging buffer, in one piece.
    case registered(RegisteredMemory)

    /// Mapped memory: pinned in place if the driver supports that, otherwise staged.
    ///
    /// - Parameter bytes: must not change.
    /// - Parameter owner: keeps `bytes` mapped as long as it lives.
    package static func mapped(_ bytes: UnsafeRawBufferPointer, owner: any Sendable, on device: any Device) -> Self {
        // A refusal is a normal result here; on a broken device the copies fail too.
        guard bytes.count > 0, let memory = try? RegisteredMemory(device, bytes, owner: owner) else {
            return .staged(bytes, owner: owner)
        }
        return .registered(memory)
    }

    /// Memory that is copied through the staging buffers.
    ///
    /// - Parameter owner: keeps `bytes` valid as long as it lives.
    package static func staged(_ bytes: UnsafeRawBufferPointer, owner: any Sendable) -> Self {
        nonisolated(unsafe) let bytes = bytes
        return .filling { buffer, offset in
            withExtendedLifetime(owner) {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + buffer.count]))
            }
        }
    }
}
