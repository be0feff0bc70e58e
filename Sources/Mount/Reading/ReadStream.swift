/// The position of one reader of a file: finds out whether it reads in order, and how far the blobs are read ahead of it.
struct ReadStream: Sendable {
    /// How far the server reads ahead, in bytes.
    static let distance = 32 << 20
    /// The least that is read ahead at a time, unless the file ends; and the bytes of one request to the disk.
    static let pieceBytes = 8 << 20
    /// The bytes that a reader reads in order before the server reads ahead.
    private static let trust = 256 << 10
    /// The kernel's own read-ahead makes several requests at a time, which arrive in any order.
    private static let jitter = 32 << 20

    /// The end of the requests so far.
    private(set) var end = 0
    /// The bytes that were read in order.
    private var inOrder = 0
    /// The end of what is read ahead.
    private var ahead = 0

    /// Notes a request.
    ///
    /// - Parameter bytes: the size of the file.
    /// - Returns: the range to read ahead now.
    mutating func advance(_ request: Range<Int>, of bytes: Int) -> Range<Int>? {
        let isInOrder = request.lowerBound >= end - Self.jitter && request.lowerBound <= end + (1 << 20)
        if isInOrder {
            inOrder += request.count
            end = max(end, request.upperBound)
        } else {
            self = ReadStream()
            (inOrder, end, ahead) = (request.count, request.upperBound, request.upperBound)
        }
        guard inOrder >= Self.trust else { return nil }
        let target = min(end + Self.distance, bytes)
        let start = max(ahead, end)
        guard target > start, target - start >= Self.pieceBytes || target == bytes else { return nil }
        ahead = target
        return start..<target
    }
}
