import HTTPTypes
import Synchronization

/// What the server counts of itself.
final class Metrics: Sendable {
    struct Request: Hashable {
        let method: String
        let status: Int
    }

    /// A count that grows while an answer is sent.
    final class Count: Sendable {
        private let bytes = Atomic<Int>(0)
        var value: Int { bytes.load(ordering: .relaxed) }
        func add(_ count: Int) { bytes.add(count, ordering: .relaxed) }
    }

    private let requests = Mutex<[Request: Int]>([:])
    private let bytes = Atomic<Int>(0)
    private let streams = Atomic<Int>(0)

    func answered(_ method: HTTPRequest.Method, _ status: HTTPResponse.Status) {
        // A client must not be able to make up as many series as it likes.
        let known: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete, .options]
        let request = Request(method: known.contains(method) ? method.rawValue : "other", status: status.code)
        requests.withLock { $0[request, default: 0] += 1 }
    }

    /// Bytes of a body have left.
    func sent(_ count: Int) { bytes.add(count, ordering: .relaxed) }

    /// A stream begins.
    func begin() -> Count {
        streams.add(1, ordering: .relaxed)
        return Count()
    }

    /// A stream has ended.
    func end() { streams.subtract(1, ordering: .relaxed) }

    /// Answers given, by method and status, in that order.
    var answers: [(request: Request, count: Int)] {
        requests.withLock { $0.map { ($0.key, $0.value) } }
            .sorted { ($0.request.method, $0.request.status) < ($1.request.method, $1.request.status) }
    }

    var bytesSent: Int { bytes.load(ordering: .relaxed) }
    /// Streams under way.
    var streaming: Int { streams.load(ordering: .relaxed) }
}
