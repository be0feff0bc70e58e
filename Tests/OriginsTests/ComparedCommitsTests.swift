import TestSupport
import Testing
import WeightStore
@testable import Origins

/// The comparisons with a hub that a server remembers.
@Suite(.blocking) struct ComparedCommitsTests {
    private let gone = FetchError.commitGone(model: "org/model", commit: "c", url: "http://hub")
    private let silent = FetchError.stalled(url: "http://hub", seconds: 1, attempts: 1)

    @Test("a commit that the hub no longer has is requested again after some time, as after other failures")
    func expiry() throws {
        let lasting = ComparedCommits()
        let brief = ComparedCommits(retryTime: .zero, goneTime: .zero)
        for failure in [gone, silent] {
            lasting.add("org/model", "c", failure: failure)
            #expect(throws: failure) { try lasting.isDone("org/model", "c") }
            brief.add("org/model", "c", failure: failure)
            #expect(try !brief.isDone("org/model", "c"))
        }
        brief.add("org/model", "c", failure: nil)
        #expect(try brief.isDone("org/model", "c"))
        #expect(try !brief.isDone("org/model", "d"))
    }

    @Test("a commit that is gone is remembered longer than a hub that does not answer")
    func times() throws {
        let commits = ComparedCommits(retryTime: .zero)
        commits.add("org/model", "a", failure: silent)
        commits.add("org/model", "b", failure: gone)
        #expect(try !commits.isDone("org/model", "a"))
        #expect(throws: gone) { try commits.isDone("org/model", "b") }
    }
}
