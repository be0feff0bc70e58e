import CWeightStoreHeader

/// An element type as DLPack numbers it (`DLDataTypeCode` of DLPack 1.1), for types with elements of whole bytes.
struct DLPackType {
    let code: UInt8
    let bits: UInt8

    static let bytes = DLPackType(code: 1, bits: 8)

    private init(code: UInt8, bits: UInt8) {
        self.code = code
        self.bits = bits
    }

    /// - Parameter name: as safetensors and GGUF spell it.
    init?(_ name: String) {
        guard let (code, bits) = Self.types[name] else { return nil }
        self.init(code: code, bits: bits)
    }

    private static let types: [String: (UInt8, UInt8)] = [
        "I8": (0, 8), "I16": (0, 16), "I32": (0, 32), "I64": (0, 64),
        "U8": (1, 8), "U16": (1, 16), "U32": (1, 32), "U64": (1, 64),
        "F16": (2, 16), "F32": (2, 32), "F64": (2, 64), "BF16": (4, 16), "C64": (5, 64), "BOOL": (6, 8),
        "F8_E4M3": (10, 8), "F8_E4M3FNUZ": (11, 8), "F8_E5M2": (12, 8), "F8_E5M2FNUZ": (13, 8), "F8_E8M0": (14, 8),
    ]

    var structure: DLDataType { DLDataType(code: code, bits: bits, lanes: 1) }
}
