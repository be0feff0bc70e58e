import Foundation
import NIOHTTP1
import Synchronization
import WeightStore
import WireFormats

/// A bucket of an object store with the S3 API, and the objects in it below a prefix.
///
///     s3://bucket/prefix                      Amazon, or the endpoint named by the environment
///     s3://bucket/prefix?endpoint=https://s3.example&region=here&style=path
///
/// If the URL does not set the style, the bucket is part of the path (`style=path`) at a configured endpoint, and of
/// the host (`style=virtual`) at Amazon's. Names here are relative to the prefix.
///
/// The service rejects requests whose signature is more than 15 minutes old. Every response contains the service's
/// time, so a machine with a wrong clock detects the difference and signs with the service's time.
package final class S3Bucket: Sendable {
    package let url: String
    let transport: Transport
    private let signer: SigV4
    /// `https://host`.
    private let base: Address
    /// The part of a path before an object's name.
    private let prefix: String
    /// The path of the bucket itself.
    private let root: String
    /// The part of a listed name before an object's name.
    private let listed: String
    private let clock: ServiceClock
    /// Ends the requests when it is cancelled. Loops over requests check it, too.
    package let work: Work

    /// The largest response that is not an object's bytes.
    static let responseBytes = 8 << 20

    /// - Parameter environment: contains or locates credentials, region and endpoint.
    package init(
        _ url: String, options: TransportOptions = TransportOptions(),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        guard let parts = URLComponents(string: url), parts.scheme == "s3", let bucket = parts.host, !bucket.isEmpty
        else {
            throw FetchError.unusable(url: url, reason: "not a bucket's URL; expected s3://bucket/prefix")
        }
        var settings: [String: String] = [:]
        for item in parts.queryItems ?? [] { settings[item.name] = item.value }
        let credentials = try S3Credentials.find(for: url, environment)
        let region = settings["region"] ?? credentials.region
        let named = settings["endpoint"] ?? credentials.endpoint
        let endpoint = named ?? "https://s3.\(region).amazonaws.com"
        let isVirtual = settings["style"].map { $0 == "virtual" } ?? (named == nil)
        guard let address = Address(endpoint),
            let base = isVirtual
                ? Address(endpoint.replacingOccurrences(of: "://", with: "://\(bucket).")) : address
        else { throw FetchError.unusable(url: url, reason: "endpoint \(endpoint): expected https://host") }
        try options.check(address, for: url)
        self.url = url
        self.base = base
        listed = parts.path.byteParts("/").filter { !$0.isEmpty }.map { $0 + "/" }.joined()
        root = isVirtual ? "" : bucket
        prefix = (isVirtual ? "" : bucket + "/") + listed
        signer = SigV4(
            accessKey: credentials.accessKey, secretKey: credentials.secretKey, sessionToken: credentials.sessionToken,
            region: region)
        transport = Transport(options)
        clock = ServiceClock()
        work = Work()
    }

    private init(_ other: S3Bucket, _ work: Work) {
        (url, transport, signer, base) = (other.url, other.transport, other.signer, other.base)
        (prefix, root, listed, clock) = (other.prefix, other.root, other.listed, other.clock)
        self.work = work
    }

    /// The same bucket; its requests end soon after the work is cancelled.
    package func bound(to work: Work) -> S3Bucket { S3Bucket(self, work) }

    /// The current time by the service's clock.
    package var now: Date { Date() + clock.ahead.withLock { $0 } }

    // MARK: Objects

    /// Size and time of an object.
    package struct Metadata: Sendable {
        package let bytes: Int
        package let modified: Date
    }

    /// An object's bytes, and the tag that identifies this state of the object.
    package struct Object: Sendable {
        package let bytes: [UInt8]
        package let tag: String
    }

    /// The result of reading an object.
    package enum ReadResult: Sendable {
        case found(Object)
        /// The object still has the given tag.
        case unchanged
        case absent
    }

    /// Reads a small object.
    ///
    /// - Parameter tag: the tag from an earlier read; an object that still has it is not transferred.
    package func get(_ name: String, unless tag: String? = nil, limit: Int = responseBytes) throws -> ReadResult {
        do {
            let answer = try ask(name, headers: HTTPHeaders(tag.map { [("if-none-match", $0)] } ?? []), limit: limit)
            if answer.status == 304 { return .unchanged }
            return .found(Object(bytes: answer.text, tag: answer.headers.first(name: "etag") ?? ""))
        } catch FetchError.notFound {
            return .absent
        }
    }

    /// Size and time of an object, without its bytes.
    ///
    /// - Returns: nil if there is no such object.
    package func metadata(of name: String) throws -> Metadata? {
        do {
            let answer = try ask(name, .HEAD)
            return Metadata(
                bytes: answer.headers.first(name: "content-length").flatMap { Int(decimal: $0) } ?? 0,
                modified: answer.headers.first(name: "last-modified").flatMap { HTTPDate.parse($0) } ?? now)
        } catch FetchError.notFound {
            return nil
        }
    }

    package func put(_ name: String, _ bytes: [UInt8]) throws {
        _ = try ask(name, .PUT, body: bytes)
    }

    /// Creates an object unless one with this name exists.
    ///
    /// - Returns: false if one exists. After a broken connection it may be the one that this call created.
    package func create(_ name: String, _ bytes: [UInt8]) throws -> Bool {
        do {
            _ = try ask(name, .PUT, headers: ["if-none-match": "*"], body: bytes)
            return true
        } catch FetchError.refused(_, let status, _, _) where status == 412 || status == 409 {
            return false
        }
    }

    /// Deletes an object. A missing object is not an error.
    package func delete(_ name: String) throws {
        do {
            _ = try ask(name, .DELETE)
        } catch FetchError.notFound {}
    }

    /// Creates the bucket. An existing bucket of the same owner is not changed.
    package func createBucket() throws {
        _ = try collect(resource("bucket \(root)", path: "/" + root, .PUT, body: []), limit: Self.responseBytes)
    }

    // MARK: Requests

    /// Sends a request about an object.
    func ask(
        _ name: String, _ method: HTTPMethod = .GET, query: [(String, String)] = [], headers: HTTPHeaders = [:],
        body: [UInt8]? = nil, limit: Int = responseBytes
    ) throws -> Transport.Response {
        try collect(
            resource(name, path: "/" + prefix + name, method, query: query, headers: headers, body: body), limit: limit)
    }

    /// Requests a listing of the bucket. Prefixes in `query` must begin with this bucket's.
    func requestListing(_ query: [(String, String)]) throws -> Transport.Response {
        try collect(resource("listing", path: "/" + root, .GET, query: query), limit: Self.responseBytes)
    }

    /// An object's name as in listings.
    func full(_ name: String) -> String { listed + name }

    /// - Returns: nil for a name that is not below the prefix.
    func relative(_ name: String) -> String? {
        name.dropping(bytePrefix: listed)
    }

    /// An object whose bytes are requested in ranges.
    func resource(_ name: String, what: String, bytes: Int?) -> Transport.Resource {
        resource(what, path: "/" + prefix + name, .GET, bytes: bytes)
    }

    /// Runs requests, and repeats them once if they were rejected because of this machine's clock.
    func withClock<Result>(_ body: () throws -> Result) throws -> Result {
        let before = clock.ahead.withLock { $0 }
        do {
            return try body()
        } catch let error as FetchError {
            guard case .unauthorized = error, abs(clock.ahead.withLock { $0 } - before) > 60 else { throw error }
            return try body()
        }
    }

    private func collect(_ resource: Transport.Resource, limit: Int) throws -> Transport.Response {
        try withClock {
            let answer = try transport.collect(resource, limit: limit, work)
            updateClock(from: answer.headers)
            return answer
        }
    }

    private func updateClock(from headers: HTTPHeaders) {
        guard let date = headers.first(name: "date").flatMap({ HTTPDate.parse($0) }) else { return }
        let seconds = date.timeIntervalSinceNow
        // The header has whole seconds, and was delayed in transit.
        clock.ahead.withLock { if abs($0 - seconds) > 2 { $0 = seconds } }
    }

    private func resource(
        _ what: String, path: String, _ method: HTTPMethod, query: [(String, String)] = [], headers: HTTPHeaders = [:],
        body: [UInt8]? = nil, bytes: Int? = nil
    ) -> Transport.Resource {
        let path = PercentEncoding.encode(path, keepingSlashes: true)
        let text = query.map { "\(PercentEncoding.encode($0.0))=\(PercentEncoding.encode($0.1))" }.joined(
            separator: "&")
        var resource = Transport.Resource(
            what: what,
            request: { [self] range in
                guard let address = Address(base.origin + path + (text.isEmpty ? "" : "?" + text)) else {
                    throw FetchError.unusable(url: base.name, reason: "not a valid URL when followed by \(path)")
                }
                var headers = headers
                // Ranges are signed too.
                if let range { headers.add(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)") }
                signer.sign(
                    method: method.rawValue, host: base.host, path: path, query: query, body: body, headers: &headers,
                    now: now)
                return Transport.Request(method: method, address: address, headers: headers, body: body)
            },
            explain: { [self] answer, address in explain(answer, address) })
        resource.secrets = ["authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256", "host"]
        resource.bytes = bytes
        return resource
    }

    /// S3 describes errors in XML: the code is sufficient.
    private func explain(_ answer: Transport.Response, _ address: Address) -> FetchError? {
        let code = XMLText.values(of: "Code", in: String(decoding: answer.text, as: UTF8.self)).first ?? ""
        if code == "NoSuchBucket" { return .notFound(what: "bucket", url: address.name, status: answer.status) }
        guard answer.status == 403 else { return nil }
        updateClock(from: answer.headers)
        return .unauthorized(url: address.name, status: 403, message: String(code))
    }
}

private final class ServiceClock: Sendable {
    /// Seconds by which the service's clock is ahead of this machine's.
    let ahead = Mutex(0.0)
}
