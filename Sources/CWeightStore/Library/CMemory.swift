import CWeightStoreHeader
import Glibc
import Support
import WeightStore

/// Strings and arrays in C's form, valid as long as the value lives. One owner fills it; afterwards it is only read.
final class CMemory {
    private var blocks: [UnsafeMutableRawPointer] = []
    private var shared: [ByteText: UnsafePointer<CChar>] = [:]
    private var digests: [ContentDigest: UnsafePointer<CChar>] = [:]
    private var arrays: [[Int]: UnsafePointer<Int64>] = [:]

    deinit {
        for block in blocks { free(block) }
    }

    func string(_ text: String) -> UnsafePointer<CChar> {
        let copy = strdup(text)!
        blocks.append(copy)
        return UnsafePointer(copy)
    }

    func string(_ text: String?) -> UnsafePointer<CChar>? { text.map { string($0) } }

    /// - Returns: nil for no strings.
    func strings(_ texts: [String]) -> UnsafePointer<UnsafePointer<CChar>?>? {
        if texts.isEmpty { return nil }
        let block = malloc(texts.count * MemoryLayout<UnsafePointer<CChar>?>.size)!
        blocks.append(block)
        let copy = block.bindMemory(to: UnsafePointer<CChar>?.self, capacity: texts.count)
        for (index, text) in texts.enumerated() { copy[index] = string(text) }
        return UnsafePointer(copy)
    }

    /// A string that many structures have: equal ones are one pointer.
    func sharedString(_ text: String) -> UnsafePointer<CChar> {
        let key = ByteText(text)
        if let known = shared[key] { return known }
        let made = string(text)
        shared[key] = made
        return made
    }

    func sharedString(_ text: String?) -> UnsafePointer<CChar>? { text.map { sharedString($0) } }

    /// A digest in hexadecimal. Equal ones are one pointer.
    func sharedString(_ digest: ContentDigest) -> UnsafePointer<CChar> {
        if let known = digests[digest] { return known }
        let made = string(digest.hex)
        digests[digest] = made
        return made
    }

    /// An array that many structures have: equal ones are one pointer.
    ///
    /// - Returns: nil for no elements.
    func sharedArray(_ elements: [Int]) -> UnsafePointer<Int64>? {
        if let known = arrays[elements] { return known }
        let made = array(elements).map { UnsafePointer($0) }
        arrays[elements] = made
        return made
    }

    /// - Returns: nil for no elements.
    func array(_ elements: [Int]) -> UnsafeMutablePointer<Int64>? {
        if elements.isEmpty { return nil }
        let block = malloc(elements.count * MemoryLayout<Int64>.size)!
        blocks.append(block)
        let copy = block.bindMemory(to: Int64.self, capacity: elements.count)
        for (index, element) in elements.enumerated() { copy[index] = Int64(element) }
        return copy
    }

    /// - Returns: nil for no bytes.
    func bytes(_ bytes: [UInt8]) -> UnsafeMutableRawPointer? {
        if bytes.isEmpty { return nil }
        let block = malloc(bytes.count)!
        blocks.append(block)
        block.copyMemory(from: bytes, byteCount: bytes.count)
        return block
    }

    /// Strings that lie side by side in `bytes`. Each ends with a zero that does not count.
    ///
    /// - Returns: nil for no strings.
    func texts(_ bytes: [UInt8], ends: [Int]) -> UnsafeMutablePointer<weightstore_text>? {
        if ends.isEmpty { return nil }
        let text = malloc(bytes.count + ends.count)!
        let table = malloc(ends.count * MemoryLayout<weightstore_text>.stride)!
        blocks += [text, table]
        let characters = text.bindMemory(to: CChar.self, capacity: bytes.count + ends.count)
        let rows = table.bindMemory(to: weightstore_text.self, capacity: ends.count)
        var start = 0
        for (index, end) in ends.enumerated() {
            // Each of the strings before has its zero, too.
            let place = characters + start + index
            for offset in 0..<(end - start) { place[offset] = CChar(bitPattern: bytes[start + offset]) }
            place[end - start] = 0
            (rows + index).initialize(to: weightstore_text(data: UnsafePointer(place), size: end - start))
            start = end
        }
        return rows
    }

    func value<Value: BitwiseCopyable>(_ value: Value) -> UnsafePointer<Value> {
        let block = malloc(MemoryLayout<Value>.stride)!
        blocks.append(block)
        let copy = block.bindMemory(to: Value.self, capacity: 1)
        copy.initialize(to: value)
        return UnsafePointer(copy)
    }

    /// - Returns: nil for no pointers.
    func pointers<Value>(_ pointers: [UnsafePointer<Value>]) -> UnsafeMutablePointer<UnsafePointer<Value>>? {
        if pointers.isEmpty { return nil }
        let block = malloc(pointers.count * MemoryLayout<UnsafePointer<Value>>.stride)!
        blocks.append(block)
        let copy = block.bindMemory(to: UnsafePointer<Value>.self, capacity: pointers.count)
        copy.initialize(from: pointers, count: pointers.count)
        return copy
    }
}
