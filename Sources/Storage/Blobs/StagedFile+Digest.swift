import Files

extension StagedFile {
    /// Writes a small blob in one call, and finishes it.
    ///
    /// - Returns: its digest.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for more bytes than a reader of such a blob accepts.
    package func writeWhole(_ bytes: [UInt8]) throws -> ContentDigest {
        guard bytes.count <= Manifest.maximumBytes else {
            throw StorageError.invalid(
                what: "description of a model", value: "\(bytes.count) bytes",
                reason: "must have at most \(Manifest.maximumBytes) bytes; it has too many files, tensors or prompts")
        }
        return try bytes.withUnsafeBytes { bytes in
            try write(bytes, at: 0)
            try finish()
            return ContentDigest(of: bytes)
        }
    }
}
