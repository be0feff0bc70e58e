import HTTPTypes
import Synchronization

/// The server's counters.
final class Metrics: Sendable {
    struct Request: Hashable {
        let method: String
        let status: Int
    }

    /// The bytes of one response, counted while it is sent.
    final class Count: Sendable {
        private let bytes = Atomic<Int>(0)
        var value: Int { bytes.load(ordering: .relaxed) }
        func add(_ count: Int) { bytes.add(count, ordering: .relaxed) }
    }

    private let requests = Mutex<[Request: Int]>([:])
    private let bytes = Atomic<Int>(0)
    private let streams = Atomic<Int>(0)

    func answered(_ method: HTTPRequest.Method, _ status: HTTPResponse.Status) {
        // A client must not be able to create series without limit.
        let known: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete, .options]
        let request = Request(method: known.contains(method) ? method.rawValue : "other", status: status.code)
        requests.withLock { $0[request, default: 0] += 1 }
    }

    /// Counts bytes of a body that were sent.
    func sent(_ count: Int) { bytes.add(count, ordering: .relaxed) }

    /// Counts a stream that begins.
    func begin() -> Count {
        streams.add(1, ordering: .relaxed)
        return Count()
    }

    /// Counts a stream that has ended.
    func end() { streams.subtract(1, ordering: .relaxed) }

    /// The number of responses by method and status, sorted.
    var answers: [(request: Request, count: Int)] {
        requests.withLock { $0.map { ($0.key, $0.value) } }
            .sorted { ($0.request.method, $0.request.status) < ($1.request.method, $1.request.status) }
    }

    var bytesSent: Int { bytes.load(ordering: .relaxed) }
    /// Streams in progress.
    var streaming: Int { streams.load(ordering: .relaxed) }
}
