import ModelFormats

extension SeededRandom {
    mutating func chance(_ one: Int, in many: Int) -> Bool { Int.random(in: 0..<many, using: &self) < one }

    /// A name of characters that are hard for readers.
    mutating func name() -> String {
        let parts = [
            "blk.", "layers.", "0", "7.", "\"", "\\", "\n", "é", "😀", "\u{1}", "w", "\u{7F}", "/", " ", "𐀀",
        ]
        return (0..<Int.random(in: 1...6, using: &self)).map { _ in parts.randomElement(using: &self)! }
            .joined()
    }

    mutating func names(_ count: Int) -> [String] {
        Set((0..<count).map { _ in Array(name().utf8) }).map { String(decoding: $0, as: UTF8.self) }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    mutating func shape(dimensions: ClosedRange<Int>) -> [Int] {
        (0..<Int.random(in: dimensions, using: &self)).map { _ in
            chance(1, in: 12) ? 0 : Int.random(in: 1...6, using: &self)
        }
    }

    /// Tensors and metadata that a safetensors file can have.
    mutating func safetensors() -> (tensors: [SafetensorsWriter.Tensor], metadata: [String: String]) {
        let types = ElementType.safetensors.values.sorted { $0.name < $1.name }
        let tensors = names(Int.random(in: 0...9, using: &self)).map { name in
            let type = types.randomElement(using: &self)!
            var shape = shape(dimensions: 0...4)
            // Four elements of any type fill whole bytes.
            if type.bitsPerBlock < 8 { shape.append(4) }
            return SafetensorsWriter.Tensor(name: name, dtype: type.name, shape: shape)
        }
        let texts = names(Int.random(in: 0...3, using: &self)).map { ($0, name()) }
        return (tensors.shuffled(using: &self), Dictionary(uniqueKeysWithValues: texts))
    }

    /// A GGUF file, and the layout that must result.
    mutating func gguf() -> GGUFBuilder {
        var builder = GGUFBuilder(version: chance(1, in: 2) ? 2 : 3)
        if chance(1, in: 2) {
            builder.alignment = 1 << Int.random(in: 0...8, using: &self)
            builder.metadata.append(("general.alignment", .uint32(UInt32(builder.alignment))))
        }
        for key in names(Int.random(in: 0...4, using: &self)) {
            builder.metadata.append((key, value(depth: 0)))
        }
        let numbers = ElementType.ggml.keys.sorted()
        for name in names(Int.random(in: 0...7, using: &self)) {
            let number = numbers.randomElement(using: &self)!
            var shape = shape(dimensions: 0...3).map(UInt64.init)
            let block = UInt64(ElementType.ggml[number]?.elementsPerBlock ?? 1)
            if block > 1 || shape.count == 3 {
                shape.insert(block * UInt64.random(in: 0...2, using: &self), at: 0)
            }
            builder.tensors.append(.init(name: name, type: number, shape: shape))
        }
        builder.padsEnd = chance(1, in: 2)
        return builder
    }

    private mutating func value(depth: Int) -> GGUFBuilder.Value {
        switch Int.random(in: 0..<(depth < 7 ? 8 : 6), using: &self) {
        case 0: .uint8(.random(in: .min ... .max, using: &self))
        case 1: .int16(.random(in: .min ... .max, using: &self))
        case 2: .float32(.random(in: -1...1, using: &self))
        case 3: .bool(.random(using: &self))
        case 4: .int64(.random(in: .min ... .max, using: &self))
        case 5: .string(name())
        case 6: .array(8, (0..<Int.random(in: 0...3, using: &self)).map { _ in .string(name()) })
        default: .array(9, (0..<Int.random(in: 0...2, using: &self)).map { _ in array(depth: depth + 2) })
        }
    }

    private mutating func array(depth: Int) -> GGUFBuilder.Value {
        let numbers = (0..<Int.random(in: 0...3, using: &self)).map { GGUFBuilder.Value.uint16(UInt16($0)) }
        return .array(2, numbers)
    }

    /// Changes bytes as disks, networks and attackers do.
    mutating func mutate(_ bytes: inout [UInt8], splicingFrom other: [UInt8]) {
        for _ in 0..<Int.random(in: 1...3, using: &self) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<9, using: &self) {
            case 0, 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 2: bytes[index] = .random(in: .min ... .max, using: &self)
            case 3: bytes.removeSubrange(index...)
            case 4:
                bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...16, using: &self)))
            case 5: bytes.insert(contentsOf: slice(of: other), at: index)
            case 6:
                let part = slice(of: other)
                bytes.replaceSubrange(index..<min(bytes.count, index + part.count), with: part)
            case 7: write(interestingNumber(), at: index, in: &bytes)
            default: replaceNumber(in: &bytes, from: index)
            }
        }
    }

    private mutating func slice(of bytes: [UInt8]) -> ArraySlice<UInt8> {
        guard !bytes.isEmpty else { return [] }
        let start = Int.random(in: 0..<bytes.count, using: &self)
        return bytes[start..<min(bytes.count, start + Int.random(in: 1...40, using: &self))]
    }

    private mutating func interestingNumber() -> UInt64 {
        [
            0, 1, 2, 31, 32, 255, 65_535, 65_536, 100_000_000, 100_000_001, 1 << 31, 1 << 32, 1 << 60,
            1 << 62,
            1 << 63 - 1, 1 << 63, .max - 7, .max,
        ].randomElement(using: &self)!
    }

    private mutating func write(_ number: UInt64, at index: Int, in bytes: inout [UInt8]) {
        for (position, byte) in zip(index..<bytes.count, littleEndian(number)) { bytes[position] = byte }
    }

    /// Replaces the digits of the next number that is written in text.
    private mutating func replaceNumber(in bytes: inout [UInt8], from index: Int) {
        let isDigit = { (byte: UInt8) in 0x30...0x39 ~= byte }
        guard let start = bytes[index...].firstIndex(where: isDigit) else { return }
        let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
        bytes.replaceSubrange(start..<end, with: Array(String(interestingNumber()).utf8))
    }
}
