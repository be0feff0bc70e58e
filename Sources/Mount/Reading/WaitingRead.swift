import Synchronization

/// A request for bytes that are being fetched. It is answered once, by the first thread that has its bytes.
final class WaitingRead: Sendable {
    /// Fills a buffer with the bytes.
    ///
    /// - Returns: false if they are not there.
    typealias Bytes = (UnsafeMutableRawBufferPointer) throws -> Bool
    /// Answers the request, if its bytes are there.
    ///
    /// - Returns: whether they were.
    typealias Answer = @Sendable (Bytes) throws -> Bool

    let range: Range<Int>
    private let answer: Answer
    private let isAnswered = Mutex(false)

    init(_ range: Range<Int>, _ answer: @escaping Answer) {
        self.range = range
        self.answer = answer
    }

    /// Answers the request if it was not answered yet.
    ///
    /// - Returns: whether it is answered now.
    @discardableResult
    func end(_ bytes: Bytes) throws -> Bool {
        try isAnswered.withLock { isAnswered in
            if !isAnswered { isAnswered = try answer(bytes) }
            return isAnswered
        }
    }
}
