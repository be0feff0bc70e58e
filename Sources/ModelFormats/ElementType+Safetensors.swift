extension ElementType {
    /// The element types of safetensors by name.
    public static let safetensors: [String: ElementType] = Dictionary(
        uniqueKeysWithValues: safetensorsByAlignment.map { ($0.name, $0) })

    /// The element types of safetensors, sorted by alignment, smallest first. A writer places their data in
    /// reverse order.
    ///
    /// Source: `Dtype` in `safetensors/src/tensor.rs`, release 0.8.
    static let safetensorsByAlignment: [ElementType] = [
        ("BOOL", 8),
        ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6),
        ("U8", 8), ("I8", 8),
        ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8),
        ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16),
        ("I32", 32), ("U32", 32), ("F32", 32),
        ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
    ].map { name, bits in ElementType(name: name, bitsPerBlock: bits, elementsPerBlock: 1) }
}
