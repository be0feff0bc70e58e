import AsyncHTTPClient
import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import WeightStore

extension Transport {
    /// Something behind a URL that is asked for, perhaps in parts, perhaps behind redirects.
    package struct Resource: Sendable {
        /// What errors call it: a file, a shard, a revision.
        var what: String
        /// The request, signed anew for each attempt.
        var request: @Sendable (_ range: Range<Int>?) throws -> Request
        /// Headers that belong to the first place alone, and are left out where a redirect leads elsewhere.
        var secrets: Set<String> = ["authorization"]
        /// The size of the whole, if it is known.
        var bytes: Int?
        /// Whether it may be a page.
        var isPage = false
        /// Where the last redirect led, to be asked at once next time.
        var shortcut: Shortcut?
        /// Tells more of an answer that says no; nil means that the status says enough.
        package var explain: @Sendable (Answer, Address) -> FetchError? = { _, _ in nil }

        package init(what: String, request: @escaping @Sendable (_ range: Range<Int>?) throws -> Request) {
            self.what = what
            self.request = request
        }

        init(
            what: String, request: @escaping @Sendable (_ range: Range<Int>?) throws -> Request,
            secrets: Set<String> = ["authorization"], bytes: Int? = nil, isPage: Bool = false,
            shortcut: Shortcut? = nil,
            explain: @escaping @Sendable (Answer, Address) -> FetchError? = { _, _ in nil }
        ) {
            self.what = what
            self.request = request
            self.secrets = secrets
            self.bytes = bytes
            self.isPage = isPage
            self.shortcut = shortcut
            self.explain = explain
        }
    }

    static let longestRedirect = 8

    /// Fills the memory with the bytes that begin at `offset`: with retries, each of which goes on where the last one
    /// broke off.
    func fill(_ memory: UnsafeMutableRawBufferPointer, from resource: Resource, at offset: Int, _ work: Work) throws {
        var done = 0
        var patience = Patience(options, work)
        while done < memory.count {
            let range = offset + done..<offset + memory.count
            var filled = 0
            do {
                _ = try follow(
                    resource, range: range, into: UnsafeMutableRawBufferPointer(rebasing: memory[done...]), &filled,
                    work)
                done += filled
            } catch let failure as Failure {
                done += filled
                if filled > 0 { patience.renew() }
                try patience.wait(failure)
            }
        }
    }

    /// The whole of something small.
    ///
    /// - Parameter limit: bytes at most.
    package func collect(_ resource: Resource, limit: Int, _ work: Work = Work()) throws -> Answer {
        var patience = Patience(options, work)
        while true {
            var filled = 0
            do {
                return try follow(
                    resource, range: nil, limit: limit, into: UnsafeMutableRawBufferPointer(start: nil, count: 0),
                    &filled,
                    work)
            } catch let failure as Failure {
                try patience.wait(failure)
            }
        }
    }

    /// One attempt, along its redirects.
    ///
    /// - Throws: `Failure` if another one may help, anything else if not.
    private func follow(
        _ resource: Resource, range: Range<Int>?, limit: Int = 0, into memory: UnsafeMutableRawBufferPointer,
        _ filled: inout Int, _ work: Work
    ) throws -> Answer {
        var request = try resource.request(range)
        let home = request.address.place
        var usesShortcut = false
        if let known = resource.shortcut?.address {
            request = redirected(request, to: known, from: home, resource)
            usesShortcut = true
        }
        if let range {
            request.headers.replaceOrAdd(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
        }
        request.headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        request.headers.replaceOrAdd(name: "user-agent", value: "weightstore/0.1")
        for _ in 0...Self.longestRedirect {
            let address = request.address
            let judge = Judge(
                address: address, range: range, bytes: resource.bytes, isPage: resource.isPage, limit: limit)
            let answer: Answer
            do {
                answer = try once(request, into: memory, filled: &filled, work) { head in try judge.plan(head) }
            } catch {
                throw try failure(error, at: address)
            }
            switch answer.status {
            case 200, 206:
                if let range, answer.filled < range.count {
                    throw Failure(
                        .wrongLength(
                            url: address.name, status: answer.status, expected: range.count, found: answer.filled))
                }
                return answer
            case 301, 302, 303, 307, 308:
                guard let location = answer.headers.first(name: "location") else {
                    throw FetchError.malformed(
                        url: address.name, expected: "a redirect with a location", found: "one without")
                }
                guard let next = address.following(location), !(address.scheme == "https" && next.scheme == "http")
                else {
                    let place = Address(location)?.name ?? String(location.prefix { $0 != "?" })
                    throw FetchError.badRedirect(url: address.name, status: answer.status, location: place)
                }
                if next.place != home { resource.shortcut?.address = next }
                request = redirected(request, to: next, from: home, resource)
            case 201 where range == nil, 204 where range == nil, 304 where range == nil: return answer
            case 408, 425, 429, 500, 502, 503, 504:
                throw Failure(
                    .refused(
                        url: address.name, status: answer.status, expected: range == nil ? "200" : "206", attempts: 1),
                    retryAfter: Self.retryAfter(answer.headers))
            case 400 where address.place != home, 401 where address.place != home, 403 where address.place != home,
                410 where address.place != home:
                // A signed URL whose time is over, or a host that needed more than that: ask for a new one.
                resource.shortcut?.address = nil
                throw Failure(.expired(url: address.name, status: answer.status), isImmediate: usesShortcut)
            default:
                if let error = resource.explain(answer, address) { throw error }
                switch answer.status {
                case 401, 403:
                    throw FetchError.unauthorized(url: address.name, status: answer.status, message: "")
                case 404, 410:
                    throw FetchError.notFound(what: resource.what, url: address.name, status: answer.status)
                default:
                    throw FetchError.refused(
                        url: address.name, status: answer.status, expected: range == nil ? "200" : "206", attempts: 1)
                }
            }
        }
        resource.shortcut?.address = nil
        throw FetchError.tooManyRedirects(
            url: try resource.request(range).address.name, status: 302, limit: Self.longestRedirect)
    }

    private func redirected(_ request: Request, to address: Address, from home: String, _ resource: Resource) -> Request
    {
        var request = request
        request.address = address
        if address.place != home {
            for name in resource.secrets { request.headers.remove(name: name) }
        }
        return request
    }

    /// - Returns: what may be tried again.
    private func failure(_ error: any Error, at address: Address) throws -> Failure {
        switch error {
        case let error as FetchError: throw error
        case let error as StoreError: throw error
        case let error as Failure: return error
        case is ResponseSink.TooLong:
            throw FetchError.malformed(url: address.name, expected: "as many bytes as were announced", found: "more")
        case let error as HTTPClientError where error == .readTimeout:
            return Failure(.stalled(url: address.name, seconds: options.idleSeconds, attempts: 1))
        case let error as HTTPClientError where error == .connectTimeout || error == .tlsHandshakeTimeout:
            return Failure(
                .disconnected(
                    url: address.name, reason: "no connection within \(options.connectSeconds) s", attempts: 1))
        default:
            if let distrust = distrust(error, at: address) { throw distrust }
            return Failure(.disconnected(url: address.name, reason: "the connection broke (\(error))", attempts: 1))
        }
    }

    /// Seconds that a server asks for.
    static func retryAfter(_ headers: HTTPHeaders) -> Double? {
        guard let text = headers.first(name: "retry-after") else { return nil }
        if let seconds = Double(text) { return max(seconds, 0) }
        return HTTPDate.parse(text).map { max($0.timeIntervalSinceNow, 0) }
    }
}

/// An attempt that failed in a way that another one may not.
struct Failure: Error {
    var error: FetchError
    var retryAfter: Double?
    /// No wait is needed before the next attempt.
    var isImmediate: Bool

    init(_ error: FetchError, retryAfter: Double? = nil, isImmediate: Bool = false) {
        self.error = error
        self.retryAfter = retryAfter
        self.isImmediate = isImmediate
    }
}

/// How often, and after what waits, something is tried again.
private struct Patience {
    private let options: TransportOptions
    private let work: Work
    private var failures = 0

    init(_ options: TransportOptions, _ work: Work) {
        self.options = options
        self.work = work
    }

    /// The last attempt brought something.
    mutating func renew() { failures = 0 }

    /// Waits before the next attempt.
    ///
    /// - Throws: the failure, if there is to be none.
    mutating func wait(_ failure: Failure) throws {
        failures += 1
        guard failures < options.attempts, failure.retryAfter ?? 0 <= options.longestRetryAfterSeconds else {
            throw failure.error.after(attempts: failures)
        }
        if failure.isImmediate { return }
        let delay = max(options.delay(after: failures), failure.retryAfter ?? 0)
        let end = ContinuousClock.now + .seconds(delay)
        while ContinuousClock.now < end {
            if work.isCancelled { throw CancellationError() }
            usleep(UInt32(min(max((end - .now) / .microseconds(1), 1), 50_000)))
        }
    }
}

extension FetchError {
    func after(attempts: Int) -> FetchError {
        switch self {
        case .refused(let url, let status, let expected, _):
            .refused(url: url, status: status, expected: expected, attempts: attempts)
        case .stalled(let url, let seconds, _): .stalled(url: url, seconds: seconds, attempts: attempts)
        case .disconnected(let url, let reason, _): .disconnected(url: url, reason: reason, attempts: attempts)
        default: self
        }
    }
}
