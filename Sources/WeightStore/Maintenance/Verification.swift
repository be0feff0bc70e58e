import Crypto
import Dispatch
import GRDB
import Glibc
import Storage
import Support
import Synchronization

/// The shards to verify, and the speed limit.
public struct VerifyRule: Sendable {
    /// Only shards of this revision (as in ``Store/revision(_:)``); nil means the whole store.
    public var revision: String?
    /// Only shards that were not verified for this many seconds.
    public var olderThanSeconds: Int?
    /// Only this share of them, 0 to 1, by bytes: those whose last verification is the oldest.
    public var sample: Double?
    /// The maximal number of bytes to read per second; nil means no limit.
    public var bytesPerSecond: Int?
    /// Whether the origins of the revisions are checked first.
    public var checksOrigins = false

    /// A rule that verifies all shards at full speed.
    public init() {}
}

/// The result of a verification.
public struct VerifySummary: Sendable, Codable {
    /// A damaged, missing or lost shard; or a damaged or missing manifest or record that the catalog cannot restore.
    public struct Damage: Sendable, Codable {
        /// The SHA-256 that the shard should have.
        public let digest: ContentDigest
        /// `damaged`; `missing`: its file is gone; or `lost`: it was evicted, and no origin has it.
        public let problem: String
        /// Details, such as the digest found.
        public let detail: String
        /// Names of the revisions that hold it.
        public let revisions: [String]
    }

    /// Whether the store can only be read: nothing was moved to quarantine, restored or recorded.
    public internal(set) var isReadOnly = false
    /// The number of shards verified.
    public internal(set) var shards = 0
    /// Bytes of these shards, without missing ones.
    public internal(set) var bytes = 0
    /// The number of shards that were missing or quarantined and are present again, because their blobs are back.
    public internal(set) var reinstated = 0
    /// The number of manifests and records that were damaged or missing, and were rewritten from the catalog.
    public internal(set) var rewritten = 0
    /// Damage that this verification found.
    public internal(set) var damage: [Damage] = []
    /// The number of KV blocks dropped because they, or blocks before them, were damaged or missing. An engine can
    /// compute them again.
    public internal(set) var kvDropped = 0
    /// Damage that was known before.
    public internal(set) var known: [Damage] = []
    /// The shards that are not stored, and whether they can be fetched.
    public internal(set) var absent = AbsentShards()
    /// The results of the checks of origins, if they were requested.
    public internal(set) var origins: [OriginCheckOutcome] = []
}

/// The state that the threads of one verification share.
final class VerificationRun: Sendable {
    private struct State {
        var next = 0
        var done = 0
        var summary = VerifySummary()
        /// Valid shards that are not yet marked as verified in the catalog.
        var verified: [Int64] = []
        var failure: (any Error)?
    }

    private static let batch = 1024
    /// The number of shards whose rows a thread reads at once. Few, so that no thread is left with many large ones.
    private static let page = 16

    private let shards: [Int64]
    private let bytesPerSecond: Int?
    let work: Work
    private let start = ContinuousClock.now
    private let state = Mutex(State())

    /// - Parameters:
    ///   - shards: the ids of the shards to verify.
    ///   - bytes: their size.
    init(_ shards: [Int64], bytes: Int, bytesPerSecond: Int?, work: Work) {
        self.work = work
        self.shards = shards
        self.bytesPerSecond = bytesPerSecond
        work.expect(bytes)
    }

    /// The next shards to verify; nil if none is left, or a thread has failed.
    func next() -> ArraySlice<Int64>? {
        state.withLock { state in
            guard state.next < shards.count, state.failure == nil else { return nil }
            let page = shards[state.next...].prefix(Self.page)
            state.next += page.count
            return page
        }
    }

    /// Counts bytes that were read, and waits as long as the speed limit requires.
    func read(_ bytes: Int) throws {
        let done = state.withLock { state in
            state.done += bytes
            return state.done
        }
        work.advance(bytes)
        try work.check()
        guard let bytesPerSecond else { return }
        let early = start + .seconds(Double(done) / Double(max(bytesPerSecond, 1))) - .now
        let end = ContinuousClock.now + early
        while ContinuousClock.now < end {
            try work.check()
            usleep(UInt32(min(max((end - .now) / .microseconds(1), 1), 50_000)))
        }
    }

    /// Records the result for a shard.
    ///
    /// - Returns: shards to mark as verified: a full batch, or none.
    func verified(_ shard: ShardTable.Entry, _ damage: VerifySummary.Damage?) -> [Int64] {
        state.withLock { state in
            state.summary.shards += 1
            if damage?.problem != "missing" { state.summary.bytes.add(saturating: shard.bytes) }
            if let damage {
                state.summary.damage.append(damage)
                return []
            }
            state.verified.append(shard.id)
            guard state.verified.count >= Self.batch else { return [] }
            defer { state.verified = [] }
            return state.verified
        }
    }

    func dropped(_ blocks: Int) { state.withLock { $0.summary.kvDropped += blocks } }

    func fail(_ error: any Error) {
        state.withLock { if $0.failure == nil { $0.failure = error } }
    }

    func end() -> (summary: VerifySummary, verified: [Int64], failure: (any Error)?) {
        state.withLock { ($0.summary, $0.verified, $0.failure) }
    }
}
