/// Cuts arriving bytes into lines. Each byte is searched once and moved at most twice, however the bytes arrive.
package struct LineSplitter {
    /// The longest line, in bytes, without its end.
    private let limit: Int
    private var rest: [UInt8] = []
    /// The number of bytes at the beginning of `rest` that contain no end of a line.
    private var searched = 0

    package init(limit: Int) { self.limit = limit }

    /// A line is longer than the limit.
    package struct TooLong: Error, Equatable {
        package let limit: Int

        package init(limit: Int) { self.limit = limit }
    }

    /// Adds bytes, and passes the lines that are complete now to `body`, without their ends.
    ///
    /// - Throws: ``TooLong``; an error that `body` throws.
    package mutating func append(_ bytes: [UInt8], _ body: ([UInt8]) throws -> Void) throws {
        rest += bytes
        var start = 0
        var place = searched
        while place < rest.count {
            guard let end = rest[place...].firstIndex(of: 0x0A) else { break }
            guard end - start <= limit else { throw TooLong(limit: limit) }
            try body(Array(rest[start..<end]))
            start = end + 1
            place = start
        }
        rest.removeFirst(start)
        searched = rest.count
        guard rest.count <= limit else { throw TooLong(limit: limit) }
    }
}
