import Glibc
import Support

/// Strings and arrays in C's form, valid as long as the value lives. One owner fills it; afterwards it is only read.
final class CMemory {
    private var blocks: [UnsafeMutableRawPointer] = []
    private var shared: [ByteText: UnsafePointer<CChar>] = [:]

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

    /// - Returns: nil for no elements.
    func array(_ elements: [Int]) -> UnsafeMutablePointer<Int64>? {
        if elements.isEmpty { return nil }
        let block = malloc(elements.count * MemoryLayout<Int64>.size)!
        blocks.append(block)
        let copy = block.bindMemory(to: Int64.self, capacity: elements.count)
        for (index, element) in elements.enumerated() { copy[index] = Int64(element) }
        return copy
    }
}
