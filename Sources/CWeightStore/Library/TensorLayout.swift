import Support
import WeightStore

/// The layout of a tensor's elements, the same for every file format.
struct TensorLayout {
    /// The outermost dimension first.
    let shape: [Int]
    /// In elements; nil if they are packed in blocks.
    let strides: [Int]?

    init(_ entry: TensorEntry, format: String?) {
        let isReversed = format.flatMap { FileFormat(rawValue: $0) }?.isInnermostFirst ?? false
        let shape = isReversed ? entry.shape.reversed() : entry.shape
        self.shape = shape
        let isPlain = DLPackType(entry.dtype) != nil
        strides =
            isPlain
            ? shape.indices.map { shape[($0 + 1)...].reduce(1) { $0.multiplied(saturating: max($1, 1)) } } : nil
    }
}

extension Tier {
    /// DLPack's numbers.
    var dlpackDevice: (type: Int32, id: Int32) {
        switch self {
        case .ram: (1, 0)
        case .device(let name): (name.kind.dlpackType, Int32(clamping: name.number))
        }
    }
}
