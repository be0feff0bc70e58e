import Foundation
import NIOHTTP1
import Origins
import Synchronization
import WeightStore
import WireFormats

/// A client of etcd 3.4 and later over its HTTP/JSON gateway, limited to the calls that a fleet needs. Blocks.
///
/// The gateway encodes 64-bit numbers as text and bytes as base64, and omits zero values.
final class EtcdClient: Sendable {
    struct KeyValue: Sendable, Equatable {
        let key: String
        let value: [UInt8]
        /// The revision of its last change.
        let modified: Int
    }

    /// The keys of a range, at one revision.
    struct Snapshot: Sendable {
        let cluster: String
        let revision: Int
        let values: [KeyValue]
    }

    private let addresses: [Address]
    /// The member in use: the one that responded last.
    private let current = Atomic<Int>(0)
    private let transport: Transport
    private let watching: Transport
    private let user: (name: String, password: String)?
    private let token = Mutex<String?>(nil)

    /// Seconds without an event after which a watch is restarted: a broken connection is silent too.
    static let silenceSeconds = 20.0

    /// - Parameters:
    ///   - urls: one or more members, separated by commas.
    ///   - environment: `ETCDCTL_USER` contains `name:password`, for a cluster that requires authentication.
    init(_ urls: String, options: TransportOptions, environment: [String: String] = ProcessInfo.processInfo.environment)
        throws
    {
        addresses = try urls.byteParts(",").filter { !$0.isEmpty }.map { url in
            guard let address = Address(url.dropping(byteSuffix: "/") ?? url) else {
                throw FleetError.unusable(what: url, reason: "not an etcd address; expected https://host:port")
            }
            try options.check(address, for: address.name)
            return address
        }
        guard !addresses.isEmpty else {
            throw FleetError.unusable(what: "etcd", reason: "no address given; expected https://host:port")
        }
        user = environment["ETCDCTL_USER"].flatMap { text in
            let parts = text.byteParts(":", maxSplits: 1)
            return parts.count == 2 ? (parts[0], parts[1]) : nil
        }
        var options = options
        options.attempts = 1
        options.connectSeconds = 2
        options.idleSeconds = 5
        transport = Transport(options)
        options.idleSeconds = Self.silenceSeconds
        watching = Transport(options)
    }

    /// The member in use, as errors name it.
    var name: String { addresses[current.load(ordering: .relaxed) % addresses.count].name }

    // MARK: Keys

    /// All keys that begin with `prefix`, at one revision.
    func range(_ prefix: String) throws -> Snapshot {
        let answer: RangeAnswer = try ask(
            "/v3/kv/range", RangeRequest(key: Self.data(prefix), range_end: Self.end(prefix)))
        return Snapshot(
            cluster: answer.header.cluster_id ?? "", revision: Int(answer.header.revision ?? "0") ?? 0,
            values: (answer.kvs ?? []).map(\.value))
    }

    func get(_ key: String) throws -> KeyValue? {
        let answer: RangeAnswer = try ask("/v3/kv/range", RangeRequest(key: Self.data(key), range_end: nil))
        return answer.kvs?.first?.value
    }

    func put(_ key: String, _ value: [UInt8], lease: String? = nil) throws {
        let _: Header = try ask("/v3/kv/put", PutRequest(key: Self.data(key), value: Data(value), lease: lease))
    }

    /// Sets a key if it has not changed since the revision `modified`; 0 requires that the key does not exist.
    ///
    /// - Returns: false if it has changed.
    func put(_ key: String, _ value: [UInt8], ifUnchangedSince modified: Int) throws -> Bool {
        struct Compare: Encodable {
            var target = "MOD"
            var result = "EQUAL"
            let key: Data
            let mod_revision: String
        }
        struct Operation: Encodable { let request_put: PutRequest }
        struct Transaction: Encodable {
            let compare: [Compare]
            let success: [Operation]
        }
        struct Answer: Decodable { let succeeded: Bool? }
        let answer: Answer = try ask(
            "/v3/kv/txn",
            Transaction(
                compare: [Compare(key: Self.data(key), mod_revision: "\(modified)")],
                success: [Operation(request_put: PutRequest(key: Self.data(key), value: Data(value), lease: nil))]))
        return answer.succeeded ?? false
    }

    /// Removes the history of all keys before a revision.
    func compact(_ revision: Int) throws {
        let _: Header = try ask("/v3/kv/compaction", ["revision": "\(revision)"])
    }

    // MARK: Leases

    /// - Returns: the id of a new lease, which expires after `seconds` without a ``keepAlive(_:)``.
    func grant(seconds: Int) throws -> String {
        struct Answer: Decodable { let ID: String }
        let answer: Answer = try ask("/v3/lease/grant", ["TTL": "\(seconds)"])
        return answer.ID
    }

    /// - Returns: false if the lease has expired.
    func keepAlive(_ lease: String) throws -> Bool {
        struct Answer: Decodable {
            struct Result: Decodable { let TTL: String? }
            let result: Result?
        }
        let answer: Answer = try ask("/v3/lease/keepalive", ["ID": lease])
        return answer.result?.TTL != nil
    }

    func revoke(_ lease: String) throws {
        let _: Header = try ask("/v3/lease/revoke", ["ID": lease])
    }

    // MARK: Watching

    enum Watched: Sendable {
        /// Changes of one revision or more, in order. The value is nil for a key that was deleted.
        case events(cluster: String, revision: Int, [(key: String, value: [UInt8]?)])
        /// The history that the watch needs has been compacted.
        case compacted
    }

    /// Passes every change of the keys that begin with `prefix` to `body`, from `revision` on. Blocks.
    ///
    /// - Parameter body: returns false to end the watch.
    /// - Throws: ``FetchError/stalled(url:seconds:attempts:)`` after ``silenceSeconds`` without a change; otherwise the
    ///   error that ended the connection.
    func watch(_ prefix: String, from revision: Int, _ work: Work, _ body: (Watched) throws -> Bool) throws {
        struct Ended: Error {}
        struct Create: Encodable {
            let key: Data
            let range_end: Data
            let start_revision: String
        }
        struct Answer: Decodable {
            struct Event: Decodable {
                let type: String?
                let kv: Value
            }
            struct Result: Decodable {
                let header: Header
                let canceled: Bool?
                let compact_revision: String?
                let cancel_reason: String?
                let events: [Event]?
            }
            let result: Result?
            let error: Failure?
        }
        let request = try request(
            "/v3/watch",
            [
                "create_request": Create(
                    key: Self.data(prefix), range_end: Self.end(prefix), start_revision: "\(revision)")
            ])
        do {
            try watching.lines(request, work) { line in
                let answer: Answer = try decode(line)
                guard let result = answer.result else {
                    throw FleetError.etcd(url: name, message: answer.error?.message ?? "the watch ended")
                }
                if result.compact_revision != nil {
                    if try !body(.compacted) { throw Ended() }
                    return
                }
                if result.canceled == true {
                    throw FleetError.etcd(url: name, message: result.cancel_reason ?? "the watch was cancelled")
                }
                guard let events = result.events, !events.isEmpty else { return }
                let continues = try body(
                    .events(
                        cluster: result.header.cluster_id ?? "",
                        revision: events.compactMap(\.kv.mod_revision).compactMap { Int(decimal: $0) }.max()
                            ?? revision,
                        events.map { ($0.kv.value.key, $0.type == "DELETE" ? nil : $0.kv.value.value) }))
                if !continues { throw Ended() }
            }
        } catch is Ended {
            return
        } catch let error as FetchError {
            if case .stalled = error {} else { tryAnother() }
            throw error
        }
    }

    // MARK: Requests

    private static func data(_ text: String) -> Data { Data(text.utf8) }

    /// The exclusive end of the range of keys that begin with `prefix`.
    private static func end(_ prefix: String) -> Data {
        var bytes = data(prefix)
        bytes[bytes.count - 1] += 1
        return bytes
    }

    /// Sends a request to one member after another until one responds.
    private func ask<Answer: Decodable>(_ path: String, _ body: some Encodable) throws -> Answer {
        var failure: (any Error)?
        for _ in addresses {
            do {
                return try decode(try send(path, body))
            } catch let error as FetchError {
                tryAnother()
                failure = error
            }
        }
        throw failure!
    }

    private func send(_ path: String, _ body: some Encodable) throws -> [UInt8] {
        do {
            return try post(try request(path, body))
        } catch FetchError.unauthorized where user != nil {
            // The token has expired, or there was none yet.
            token.withLock { $0 = nil }
            return try post(try request(path, body))
        }
    }

    private func post(_ request: Transport.Request) throws -> [UInt8] {
        var resource = Transport.Resource(what: "etcd API", request: { _ in request })
        resource.explain = { answer, address in
            let message = (try? JSONDecoder().decode(Failure.self, from: Data(answer.text)))?.message ?? ""
            return answer.status == 401 || message.contains("token") || message.contains("user name is empty")
                ? .unauthorized(url: address.name, status: answer.status, message: message)
                : .malformed(url: address.name, expected: "status 200", found: "status \(answer.status) \(message)")
        }
        return try transport.collect(resource, limit: 64 << 20).text
    }

    private func request(_ path: String, _ body: some Encodable) throws -> Transport.Request {
        var headers = HTTPHeaders([("content-type", "application/json")])
        if let user {
            let known = try token.withLock { $0 } ?? authenticate(user)
            headers.add(name: "authorization", value: known)
        }
        return Transport.Request(
            method: .POST, address: try address(path), headers: headers, body: Array(try JSONEncoder().encode(body)))
    }

    private func authenticate(_ user: (name: String, password: String)) throws -> String {
        struct Answer: Decodable { let token: String }
        let answer: Answer = try decode(
            try post(
                Transport.Request(
                    method: .POST, address: try address("/v3/auth/authenticate"),
                    headers: ["content-type": "application/json"],
                    body: Array(try JSONEncoder().encode(["name": user.name, "password": user.password])))))
        token.withLock { $0 = answer.token }
        return answer.token
    }

    private func address(_ path: String) throws -> Address {
        guard let address = Address(name + path) else {
            throw FleetError.unusable(what: name, reason: "not an etcd address")
        }
        return address
    }

    private func tryAnother() { current.add(1, ordering: .relaxed) }

    private func decode<Answer: Decodable>(_ bytes: [UInt8]) throws -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(bytes))
        } catch {
            throw FetchError.malformed(
                url: name, expected: "JSON from etcd", found: String(decoding: bytes.prefix(200), as: UTF8.self))
        }
    }
}
