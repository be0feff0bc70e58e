import TestSupport
import Testing
import Tiers

@Suite(.blocking) struct ReadingChoiceTests {
    private static let second: Int64 = 1_000_000_000
    private static let piece = 4 << 20

    /// Reads pieces, of which those of each way take the given time.
    ///
    /// - Returns: the pieces that were measured, by way.
    private func measure(
        _ choice: ReadingChoice, small: Double, huge: Double, at now: Int64
    ) -> (small: Int, huge: Int) {
        var (smallPieces, hugePieces) = (0, 0)
        for _ in 0..<100 {
            switch choice.next(at: now) {
            case .use: return (smallPieces, hugePieces)
            case .measure(.smallPages):
                choice.record(.smallPages, bytes: Self.piece, nanoseconds: small)
                smallPieces += 1
            case .measure(.hugePages):
                choice.record(.hugePages, bytes: Self.piece, nanoseconds: huge)
                hugePieces += 1
            }
        }
        return (smallPieces, hugePieces)
    }

    @Test("the first pieces are read in both ways by turns; small pages are used from then on if they are clearly faster")
    func faster() {
        let pieces = ReadingChoice.measuredBytes / Self.piece
        for (small, huge, expected) in [
            (1.0, 3.0, ReadingWay.smallPages), (1.0, 1.3, .smallPages), (1.0, 1.05, .hugePages),
            (3.0, 1.0, .hugePages),
        ] {
            let choice = ReadingChoice()
            #expect(choice.chosen(at: Self.second) == nil)
            let measured = measure(choice, small: small, huge: huge, at: Self.second)
            #expect(measured.small == pieces)
            #expect(measured.huge == pieces)
            #expect(choice.chosen(at: Self.second) == expected)
            #expect(choice.next(at: Self.second) == .use(expected))
        }
    }

    @Test("after a pause the ways are measured again")
    func pause() {
        let choice = ReadingChoice()
        _ = measure(choice, small: 3, huge: 1, at: Self.second)
        let soon = Self.second * Int64(ReadingChoice.pauseSeconds)
        #expect(choice.chosen(at: soon) == .hugePages)
        let later = soon + Self.second * Int64(ReadingChoice.pauseSeconds + 1)
        #expect(choice.chosen(at: later) == nil)
        _ = measure(choice, small: 1, huge: 3, at: later)
        #expect(choice.chosen(at: later) == .smallPages)
    }

    @Test("a fixed way is never measured")
    func fixed() {
        for way in ReadingWay.allCases {
            #expect(ReadingChoice(way).next(at: Self.second) == .use(way))
        }
    }
}
