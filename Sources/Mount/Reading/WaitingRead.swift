import Synchronization

/// A request for bytes that are being fetched. The first thread that has its bytes answers it.
final class WaitingRead: Sendable {
    /// Fills a buffer with the bytes.
    ///
    /// - Returns: false if they are not there.
    typealias Bytes = (UnsafeMutableRawBufferPointer) throws -> Bool
    /// Answers the request, if its bytes are there. Of two calls at the same time, one has no effect.
    ///
    /// - Returns: whether the bytes were there.
    typealias Answer = @Sendable (Bytes) throws -> Bool

    let range: Range<Int>
    private let answer: Answer
    private let isAnswered = Atomic(false)

    init(_ range: Range<Int>, _ answer: @escaping Answer) {
        self.range = range
        self.answer = answer
    }

    /// Answers the request if it was not answered yet. Holds no lock meanwhile: the bytes may have to be fetched again.
    ///
    /// - Returns: whether it is answered now.
    @discardableResult
    func end(_ bytes: Bytes) throws -> Bool {
        if isAnswered.load(ordering: .acquiring) { return true }
        guard try answer(bytes) else { return false }
        isAnswered.store(true, ordering: .releasing)
        return true
    }
}
