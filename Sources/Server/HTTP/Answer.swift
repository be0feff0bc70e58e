import Foundation
import HTTPTypes
import NIOCore

/// What a request is answered with.
struct Answer: Sendable {
    enum Body: Sendable {
        case none
        case bytes(ByteBuffer)
        /// Pieces of a file or blob, of which the first was read already, so that bytes which are not there are an
        /// error and not a broken answer.
        case stream(Pieces, first: ByteBuffer)
    }

    var status: HTTPResponse.Status = .ok
    var fields: HTTPFields = [:]
    var body = Body.none
    /// Of the body; also told where none is sent.
    var bytes = 0

    static func text(_ text: String, type: String) -> Answer {
        let buffer = ByteBuffer(string: text)
        return Answer(
            fields: [.contentType: type, .cacheControl: "no-store"], body: .bytes(buffer),
            bytes: buffer.readableBytes)
    }

    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Answer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let buffer = ByteBuffer(bytes: try encoder.encode(value))
        return Answer(
            status: status, fields: [.contentType: "application/json; charset=utf-8"], body: .bytes(buffer),
            bytes: buffer.readableBytes)
    }

    init(status: HTTPResponse.Status = .ok, fields: HTTPFields = [:], body: Body = .none, bytes: Int = 0) {
        self.status = status
        self.fields = fields
        self.body = body
        self.bytes = bytes
    }

    init(_ error: HubError) {
        // The words of an error need no escaping.
        let buffer = ByteBuffer(string: "{\"error\":\"\(error.message)\"}")
        self.init(
            status: error.status, fields: error.fields, body: .bytes(buffer), bytes: buffer.readableBytes)
        fields[.contentType] = "application/json; charset=utf-8"
    }
}
