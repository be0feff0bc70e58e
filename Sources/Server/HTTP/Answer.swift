import Foundation
import HTTPTypes
import NIOCore
import WireFormats

/// The response to a request.
struct Answer: Sendable {
    enum Body: Sendable {
        case none
        case bytes(ByteBuffer)
        /// Pieces of a file or blob. The first is read in advance, so that missing bytes give an error and not a
        /// truncated response.
        case stream(Pieces, first: ByteBuffer)
        /// Events, until the client disconnects.
        case updates(DashboardUpdates)
    }

    var status: HTTPResponse.Status = .ok
    var fields: HTTPFields = [:]
    var body = Body.none
    /// The size of the body, also for responses that omit it (HEAD).
    var bytes = 0

    /// Whether bytes of a file or a shard are sent.
    var hasBytes: Bool { if case .none = body { false } else { true } }

    /// Whether the size of the body is known before it is sent.
    var hasKnownSize: Bool { if case .updates = body { false } else { true } }

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
        // The message of an error needs no escaping.
        let buffer = ByteBuffer(string: "{\"error\":\"\(error.message)\"}")
        self.init(
            status: error.status, fields: error.fields, body: .bytes(buffer), bytes: buffer.readableBytes)
        fields[.contentType] = "application/json; charset=utf-8"
    }
}
