import TestSupport
import Testing
import Tiers

@Suite(.blocking) struct ReadingWayTests {
    private let root = try! TemporaryDirectory()

    @Test(
        "huge pages are used, unless a balloon reports free memory to the host",
        arguments: [
            ([], ReadingWay.hugePages), (["0110000000000000"], .hugePages), (["0110010100000000"], .smallPages),
            (["0110000000000000", "0000010000000000"], .smallPages), (["", "01"], .hugePages),
        ])
    func balloon(features: [String], expected: ReadingWay) throws {
        for (number, text) in features.enumerated() {
            try root.write(text + "\n", to: "sys/bus/virtio/drivers/virtio_balloon/virtio\(number)/features")
        }
        #expect(ReadingWay.current(below: root.path) == expected)
    }

    @Test("a read is recent for some seconds")
    func recent() {
        let reads = RecentReads()
        let second: Int64 = 1_000_000_000
        #expect(!reads.exist(at: second))
        reads.add(at: second)
        #expect(reads.exist(at: second))
        #expect(reads.exist(at: second + second * Int64(RecentReads.seconds)))
        #expect(!reads.exist(at: 2 * second + second * Int64(RecentReads.seconds)))
    }
}
