import HTTPTypes
import Hummingbird
import NIOCore

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
        let conditions = Conditions(fields: request.headers, method: request.method)
        var answer = Answer(fields: fields)
        answer.fields[.eTag] = "\"\(tag)\""
        answer.fields[.acceptRanges] = "bytes"
        answer.fields[.xContentTypeOptions] = "nosniff"
        var range = 0..<bytes
        switch try conditions.verdict(tag: "\"\(tag)\"", bytes: bytes) {
        case .notModified:
            answer.status = .notModified
            return answer
        case .part(let part):
            range = part
            answer.status = .partialContent
            answer.fields[.contentRange] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(bytes)"
        case .whole: break
        }
        answer.bytes = range.count
        try await threads.run { [check, range] in try check(range) }
        if request.method == .head || range.isEmpty { return answer }
        let pieces = Pieces(parts: Parts(range, threads: threads, open: open, fetch: fetch), threads: threads)
        let first = try await pieces.piece(at: range.lowerBound)
        answer.body = first.readableBytes == range.count ? .bytes(first) : .stream(pieces, first: first)
        return answer
    }
}
