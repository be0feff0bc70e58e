import HTTPTypes
import Synchronization
import WeightStore

/// The server's counters.
final class ServerMetrics: Sendable {
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
    private let firstBytes = Mutex<[RequestRecord.Source: TimeHistogram]>([:])

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

    /// Counts the time until the first byte of a file or shard was ready.
    func firstByte(_ source: RequestRecord.Source, _ seconds: Double) {
        firstBytes.withLock { $0[source, default: TimeHistogram()].add(seconds) }
    }

    func write(to text: inout Exposition) {
        let answers = requests.withLock { $0 }
            .sorted { ($0.key.method, $0.key.status) < ($1.key.method, $1.key.status) }
        for (request, count) in answers { text.add(.requests, count, request.method, "\(request.status)") }
        text.add(.sentBytes, bytes.load(ordering: .relaxed))
        text.add(.streams, streams.load(ordering: .relaxed))
        let times = firstBytes.withLock { $0 }
        for source in RequestRecord.Source.allCases {
            text.add(.httpFirstByte, times[source] ?? TimeHistogram(), source.rawValue)
        }
    }
}
