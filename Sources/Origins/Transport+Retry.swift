import AsyncHTTPClient
import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import WeightStore
import WireFormats

extension Transport {
    /// A resource behind a URL, requested in parts or as a whole, possibly through redirects.
    package struct Resource: Sendable {
        /// Its name in errors: a file, a shard, a revision.
        var what: String
        /// Creates the request, signed again for each attempt.
        var request: @Sendable (_ range: Range<Int>?) throws -> Request
        /// Headers for the first place only; they are removed if a redirect leads elsewhere.
        var secrets: Set<String> = ["authorization"]
        /// The size of the whole, if it is known.
        var bytes: Int?
        /// Whether it may be an HTML page.
        var isPage = false
        /// The target of the last redirect, which is requested directly the next time.
        var redirect: RedirectCache?
        /// Translates an error response into an error; nil if the status is sufficient.
        package var explain: @Sendable (Response, Address) -> FetchError? = { _, _ in nil }

        package init(what: String, request: @escaping @Sendable (_ range: Range<Int>?) throws -> Request) {
            self.what = what
            self.request = request
        }

        init(
            what: String, request: @escaping @Sendable (_ range: Range<Int>?) throws -> Request,
            secrets: Set<String> = ["authorization"], bytes: Int? = nil, isPage: Bool = false,
            redirect: RedirectCache? = nil,
            explain: @escaping @Sendable (Response, Address) -> FetchError? = { _, _ in nil }
        ) {
            self.what = what
            self.request = request
            self.secrets = secrets
            self.bytes = bytes
            self.isPage = isPage
            self.redirect = redirect
            self.explain = explain
        }
    }

    static let longestRedirect = 8

    /// Fills the memory with the bytes that begin at `offset`. Each retry resumes where the previous attempt stopped.
    func fill(_ memory: UnsafeMutableRawBufferPointer, from resource: Resource, at offset: Int, _ work: Work) throws {
        var done = 0
        var backoff = RetryBackoff(options, work)
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
                if filled > 0 { backoff.renew() }
                try backoff.wait(failure)
            }
        }
    }

    /// Reads a small resource as a whole.
    ///
    /// - Parameter limit: the largest size in bytes.
    package func collect(_ resource: Resource, limit: Int, _ work: Work = Work()) throws -> Response {
        var backoff = RetryBackoff(options, work)
        while true {
            var filled = 0
            do {
                return try follow(
                    resource, range: nil, limit: limit, into: UnsafeMutableRawBufferPointer(start: nil, count: 0),
                    &filled,
                    work)
            } catch let failure as Failure {
                try backoff.wait(failure)
            }
        }
    }

    /// One attempt, including its redirects.
    ///
    /// - Throws: `Failure` if another attempt may succeed, otherwise another error.
    private func follow(
        _ resource: Resource, range: Range<Int>?, limit: Int = 0, into memory: UnsafeMutableRawBufferPointer,
        _ filled: inout Int, _ work: Work
    ) throws -> Response {
        var request = try resource.request(range)
        let home = request.address.place
        var usesCachedRedirect = false
        if let known = resource.redirect?.address {
            request = redirected(request, to: known, from: home, resource)
            usesCachedRedirect = true
        }
        if let range {
            request.headers.replaceOrAdd(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
        }
        request.headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        request.headers.replaceOrAdd(name: "user-agent", value: "weightstore/0.1")
        for _ in 0...Self.longestRedirect {
            let address = request.address
            let validator = ResponseValidator(
                address: address, range: range, bytes: resource.bytes, isPage: resource.isPage, limit: limit)
            let answer: Response
            do {
                answer = try once(request, into: memory, filled: &filled, work) { head in try validator.plan(head) }
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
                        url: address.name, expected: "a redirect with a Location header", found: "none")
                }
                guard let next = address.following(location), !(address.scheme == "https" && next.scheme == "http")
                else {
                    let place = Address(location)?.name ?? String(location.prefix { $0 != "?" })
                    throw FetchError.badRedirect(url: address.name, status: answer.status, location: place)
                }
                if next.place != home { resource.redirect?.address = next }
                request = redirected(request, to: next, from: home, resource)
            case 201 where range == nil, 204 where range == nil, 304 where range == nil: return answer
            case 408, 425, 429, 500, 502, 503, 504:
                throw Failure(
                    .refused(
                        url: address.name, status: answer.status, expected: range == nil ? "200" : "206", attempts: 1),
                    retryAfter: Self.retryAfter(answer.headers))
            case 400 where address.place != home, 401 where address.place != home, 403 where address.place != home,
                410 where address.place != home:
                // The signed URL has expired, or its host requires more than the URL: request a new one.
                resource.redirect?.address = nil
                throw Failure(.expired(url: address.name, status: answer.status), isImmediate: usesCachedRedirect)
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
        resource.redirect?.address = nil
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

    /// - Returns: a failure after which another attempt may succeed.
    private func failure(_ error: any Error, at address: Address) throws -> Failure {
        switch error {
        case let error as FetchError: throw error
        case let error as StoreError: throw error
        case let error as Failure: return error
        case is ResponseSink.TooLong:
            throw FetchError.malformed(
                url: address.name, expected: "as many bytes as Content-Length says", found: "more")
        case let error as HTTPClientError where error == .readTimeout:
            return Failure(.stalled(url: address.name, seconds: options.idleSeconds, attempts: 1))
        case let error as HTTPClientError where error == .connectTimeout || error == .tlsHandshakeTimeout:
            return Failure(
                .disconnected(
                    url: address.name, reason: "no connection within \(options.connectSeconds) s", attempts: 1))
        default:
            if let permanent = permanentFailure(error, at: address) { throw permanent }
            return Failure(.disconnected(url: address.name, reason: cause(of: error, at: address), attempts: 1))
        }
    }

    /// The wait that a server requests, in seconds.
    static func retryAfter(_ headers: HTTPHeaders) -> Double? {
        guard let text = headers.first(name: "retry-after") else { return nil }
        if let seconds = Double(text) { return max(seconds, 0) }
        return HTTPDate.parse(text).map { max($0.timeIntervalSinceNow, 0) }
    }
}

/// A failed attempt after which another one may succeed.
struct Failure: Error {
    var error: FetchError
    var retryAfter: Double?
    /// Whether the next attempt needs no wait.
    var isImmediate: Bool

    init(_ error: FetchError, retryAfter: Double? = nil, isImmediate: Bool = false) {
        self.error = error
        self.retryAfter = retryAfter
        self.isImmediate = isImmediate
    }
}

/// Counts failed attempts, and waits between them.
private struct RetryBackoff {
    private let options: TransportOptions
    private let work: Work
    private var failures = 0
    private let start = ContinuousClock.now

    init(_ options: TransportOptions, _ work: Work) {
        self.options = options
        self.work = work
    }

    /// Starts counting again, after an attempt that received bytes.
    mutating func renew() { failures = 0 }

    /// Waits before the next attempt.
    ///
    /// - Throws: the failure, if there is no next attempt.
    mutating func wait(_ failure: Failure) throws {
        failures += 1
        let delay = failure.isImmediate ? 0 : max(options.delay(after: failures), failure.retryAfter ?? 0)
        let passed = (ContinuousClock.now - start) / .seconds(1)
        guard failures < options.attempts, failure.retryAfter ?? 0 <= options.maximumRetryAfterSeconds,
            passed + delay < options.maximumRetrySeconds
        else { throw failure.error.after(attempts: failures) }
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
