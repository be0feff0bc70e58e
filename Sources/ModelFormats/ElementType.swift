/// The element type of a tensor: its name and size.
///
/// Quantized types pack a fixed number of elements into a block with a shared scale; a plain type
/// has blocks of one element.
public struct ElementType: Sendable, Hashable {
    /// The name as the file format spells it: `BF16`, `Q4_K`.
    public let name: String

    /// The size of one block, in bits.
    public let bitsPerBlock: Int

    /// The number of elements in one block.
    public let elementsPerBlock: Int

    /// Creates a type from its name and the size of its blocks.
    public init(name: String, bitsPerBlock: Int, elementsPerBlock: Int) {
        self.name = name
        self.bitsPerBlock = bitsPerBlock
        self.elementsPerBlock = elementsPerBlock
    }

    /// The size of `elements` elements, in bits, or nil if they do not fill whole blocks or the size
    /// does not fit an `Int`.
    public func bitCount(elements: Int) -> Int? {
        guard elements >= 0, elements.isMultiple(of: elementsPerBlock) else { return nil }
        let (bits, overflow) = (elements / elementsPerBlock)
            .multipliedReportingOverflow(by: bitsPerBlock)
        return overflow ? nil : bits
    }

    /// The size of `elements` elements, in bytes, or nil if they do not fill whole blocks and whole
    /// bytes, or their size in bits does not fit an `Int`.
    public func byteCount(elements: Int) -> Int? {
        guard let bits = bitCount(elements: elements), bits.isMultiple(of: 8) else { return nil }
        return bits / 8
    }

    /// The number of elements of a shape, or nil if it does not fit an `Int` or a dimension is negative. The product
    /// is computed from the left: `[0, 2^62, 2^62]` gives 0, `[2^62, 2^62, 0]` gives nil.
    public static func elementCount(shape: [Int]) -> Int? {
        var count = 1
        for dimension in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard !overflow, dimension >= 0 else { return nil }
            count = product
        }
        return count
    }
}
