import Foundation
import Glibc

/// A client's end of a TCP connection to this machine, for clients with arbitrary behaviour.
final class Connection: Sendable {
    enum Failure: Error {
        case system(String, Int32)
        case timedOut
        /// The server closed it before the answer was whole.
        case closed(received: Int)
        case malformed(String)
    }

    private let socket: Int32

    /// - Parameter receiveBuffer: bytes that the kernel buffers for a client that does not read.
    init(port: Int, timeoutSeconds: Int = 300, receiveBuffer: Int32? = nil) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw Failure.system("socket", errno) }
        if var size = receiveBuffer {
            setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(socket)
            throw Failure.system("connect", code)
        }
    }

    deinit { close(socket) }

    /// Sends nothing more.
    func shutdown() { Glibc.shutdown(socket, Int32(SHUT_WR)) }

    func send(_ text: String) throws {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { throw Failure.system("send", errno) }
            rest = rest.dropFirst(sent)
        }
    }

    /// Some bytes; none if the server has closed its end.
    func receive(most: Int = 1 << 18) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: most)
        let count = recv(socket, &buffer, most, 0)
        if count < 0 {
            if errno == EAGAIN { throw Failure.timedOut }
            if errno == ECONNRESET { return [] }
            throw Failure.system("recv", errno)
        }
        return Array(buffer[..<count])
    }

    /// - Parameter hasBody: false for the answer to HEAD.
    func answer(hasBody: Bool = true) throws -> HTTPAnswer {
        var bytes: [UInt8] = []
        let end = Array("\r\n\r\n".utf8)
        var headEnd: Int?
        while headEnd == nil {
            let more = try receive()
            if more.isEmpty { throw Failure.closed(received: bytes.count) }
            bytes += more
            headEnd = bytes.firstRange(of: end)?.upperBound
        }
        var answer = try HTTPAnswer(head: String(decoding: bytes[..<(headEnd! - 4)], as: UTF8.self))
        answer.body = Array(bytes[headEnd!...])
        let length = hasBody && answer.status != 304 ? Int(answer["content-length"] ?? "") ?? 0 : 0
        while answer.body.count < length {
            let more = try receive()
            if more.isEmpty { throw Failure.closed(received: answer.body.count) }
            answer.body += more
        }
        return answer
    }
}

struct HTTPAnswer: Sendable {
    let status: Int
    /// By name in small letters.
    private let fields: [String: String]
    var body: [UInt8] = []

    init(head: String) throws {
        let lines = head.split(separator: "\r\n")
        guard let first = lines.first?.split(separator: " "), first.count >= 2, let status = Int(first[1]) else {
            throw Connection.Failure.malformed(head)
        }
        self.status = status
        fields = Dictionary(
            lines.dropFirst().map { line in
                let parts = line.split(separator: ":", maxSplits: 1)
                return (parts[0].lowercased(), parts.count == 2 ? parts[1].trimmingCharacters(in: .whitespaces) : "")
            }, uniquingKeysWith: { "\($0), \($1)" })
    }

    subscript(_ name: String) -> String? { fields[name] }

    var text: String { String(decoding: body, as: UTF8.self) }
    func json() throws -> Any { try JSONSerialization.jsonObject(with: Data(body)) }
    func object() throws -> [String: Any] { try json() as? [String: Any] ?? [:] }
    func list() throws -> [[String: Any]] { try json() as? [[String: Any]] ?? [] }
}
