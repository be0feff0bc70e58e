import HTTPTypes
import Hummingbird
import NIOCore
import WireFormats

/// Answers requests for immutable bytes: with all of them, with a range, or with "not modified".
struct BytesAnswer: Sendable {
    /// The size of the whole.
    let bytes: Int
    /// The entity tag, without its quotes.
    let tag: String
    let fields: HTTPFields
    let threads: BlockingThreads
    /// Throws if bytes of a range are damaged or lost, as far as that is known without reading them. Blocks.
    var check: @Sendable (_ range: Range<Int>) throws -> Void = { _ in }
    let open: Parts.Opener
    var fetch: Parts.Fetcher?

    /// - Throws: ``HubError``, ``StoreError``.
    func answer(to request: Request) async throws -> Answer {
        let selected = try Answer.selection(of: bytes, tag: tag, fields: fields, for: request)
        guard let range = selected.range else { return selected.answer }
        var answer = selected.answer
        try await threads.run { [check] in try check(range) }
        if request.method == .head || range.isEmpty { return answer }
        let pieces = Pieces(parts: Parts(range, threads: threads, open: open, fetch: fetch), threads: threads)
        let first = try await pieces.piece(at: range.lowerBound)
        answer.body = first.readableBytes == range.count ? .bytes(first) : .stream(pieces, first: first)
        return answer
    }
}

extension Answer {
    /// Answers a request for immutable bytes in memory, as ``BytesAnswer`` does.
    ///
    /// - Parameter tag: the entity tag, without its quotes.
    static func memory(
        _ bytes: [UInt8], tag: String, fields: HTTPFields, for request: Request
    ) throws(HubError) -> Answer {
        let selected = try selection(of: bytes.count, tag: tag, fields: fields, for: request)
        var answer = selected.answer
        if let range = selected.range, request.method != .head {
            answer.body = .bytes(ByteBuffer(bytes: bytes[range]))
        }
        return answer
    }

    /// The status and the fields of a response with immutable bytes, and the requested range; nil if the client has the
    /// bytes already.
    fileprivate static func selection(
        of bytes: Int, tag: String, fields: HTTPFields, for request: Request
    ) throws(HubError) -> (answer: Answer, range: Range<Int>?) {
        let conditions = Conditions(fields: request.headers, method: request.method)
        var answer = Answer(fields: fields)
        answer.fields[.eTag] = "\"\(tag)\""
        answer.fields[.acceptRanges] = "bytes"
        answer.fields[.xContentTypeOptions] = "nosniff"
        var range = 0..<bytes
        switch try conditions.verdict(tag: "\"\(tag)\"", bytes: bytes) {
        case .notModified:
            answer.status = .notModified
            return (answer, nil)
        case .part(let part):
            range = part
            answer.status = .partialContent
            answer.fields[.contentRange] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(bytes)"
        case .whole: break
        }
        answer.bytes = range.count
        return (answer, range)
    }
}
