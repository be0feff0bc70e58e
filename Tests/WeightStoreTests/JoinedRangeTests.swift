import Storage
import TestSupport
import Testing
@testable import WeightStore

/// Ranges of a file that have the bytes of several shards.
@Suite(.blocking) struct JoinedRangeTests {
    private func part(_ shard: Int, _ offset: Int, _ length: Int) -> JoinedRange.Part {
        .init(shard: shard, .init(fileOffset: offset, shardOffset: 0, length: length))
    }

    @Test("neighbours and parts with a small gap are joined, distant parts are not")
    func join() {
        let ranges = JoinedRange.join(
            [part(0, 100, 50), part(1, 150, 50), part(2, 210, 10), part(3, 300, 1)], atMost: 1000, gap: 10)
        #expect(ranges.map(\.offset) == [100, 300] && ranges.map(\.length) == [120, 1])
        #expect(ranges[0].parts.map(\.shard) == [0, 1, 2])
        #expect(ranges[0].parts.map { ranges[0].offset(of: $0) } == [0, 50, 110])
    }

    @Test("no range is larger than the limit, and a large part is cut")
    func limit() {
        let ranges = JoinedRange.join([part(0, 0, 60), part(1, 60, 130)], atMost: 100)
        #expect(ranges.map(\.offset) == [0, 100] && ranges.map(\.length) == [100, 90])
        #expect(ranges.flatMap(\.parts).map(\.piece.shardOffset) == [0, 0, 40])
        #expect(ranges.flatMap(\.parts).map(\.piece.length) == [60, 40, 90])
    }

    @Test("parts that are not in the order of the file are in ranges of their own")
    func order() {
        let ranges = JoinedRange.join([part(0, 50, 10), part(1, 0, 10), part(2, 5, 10)], atMost: 100, gap: 100)
        #expect(ranges.map(\.offset) == [50, 0, 5])
    }
}
