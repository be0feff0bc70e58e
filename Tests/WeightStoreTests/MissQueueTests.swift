import Storage
import Support
import TestSupport
import Testing
@testable import Tiers

/// The order in which a tier fetches the shards that it misses.
@Suite(.blocking) struct MissQueueTests {
    private final class Request: Sendable {}

    private let bulk = Request()
    private let reader = Request()

    private func miss(_ number: Int, bytes: Int = 1000) -> TierFetcher.Miss {
        let digest = withUnsafeBytes(of: number) { ContentDigest(of: $0) }
        return .init(
            digest: digest, bytes: bytes, error: CancellationError(), work: Work(), completion: { _ in })
    }

    @Test("a request for one shard has its turn after at most one group of a request for many")
    func turns() {
        var queue = MissQueue()
        for number in 0..<10_000 { queue.append(miss(number), for: ObjectIdentifier(bulk)) }
        let first = queue.next(groups: 3)
        queue.append(miss(-1), for: ObjectIdentifier(reader))
        #expect(first?.count == ShardBatch.mostShards)
        let next = [queue.next(groups: 3), queue.next(groups: 3)]
        #expect(next.contains { $0?.map(\.digest) == [miss(-1).digest] })
        var rest = 0
        while let misses = queue.next(groups: .max) { rest += misses.count }
        #expect(rest == 10_000 - 2 * ShardBatch.mostShards)
    }

    @Test("while as many groups are fetched as may be, single shards are returned, in order")
    func single() {
        var queue = MissQueue()
        for number in 0..<10_000 { queue.append(miss(number), for: ObjectIdentifier(bulk)) }
        let groups = (0..<3).map { _ in queue.next(groups: 3)?.count ?? 0 }
        #expect(groups.allSatisfy { $0 == ShardBatch.mostShards })
        let alone = queue.next(groups: 3)?.map(\.digest)
        #expect(alone == [miss(3 * ShardBatch.mostShards).digest])
        queue.endGroup()
        let next = queue.next(groups: 3)?.count
        #expect(next == ShardBatch.mostShards)
    }

    @Test("a large shard is no part of a group")
    func large() {
        var queue = MissQueue()
        for (number, bytes) in [1000, 1000, 1 << 30, 1000, 1000].enumerated() {
            queue.append(miss(number, bytes: bytes), for: ObjectIdentifier(bulk))
        }
        let counts = (0..<4).map { _ in queue.next(groups: 3)?.count }
        #expect(counts == [2, 1, 2, nil])
    }
}
