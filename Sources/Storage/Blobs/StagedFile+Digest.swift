import Files

extension StagedFile {
    /// Writes a small blob in one call, and finishes it.
    ///
    /// - Returns: its digest.
    package func writeWhole(_ bytes: [UInt8]) throws -> ContentDigest {
        try bytes.withUnsafeBytes { bytes in
            try write(bytes, at: 0)
            try finish()
            return ContentDigest(of: bytes)
        }
    }
}
