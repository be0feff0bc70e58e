import TestSupport
import Testing
import WeightStore

@testable import Origins

/// What a server or a mount remembers of its upstream.
@Suite(.blocking) struct UpstreamHistoryTests {
    private let hour = Duration.seconds(3600)
    private let missing = FetchError.notFound(what: "revision", url: "http://hub/org/none")

    @Test("what the upstream denies is remembered, and other failures are not")
    func refusals() {
        let history = UpstreamHistory(interval: nil)
        history.note(missing, of: "main", model: "org/none")
        history.note(.stalled(url: "http://hub", seconds: 1, attempts: 1), of: "main", model: "org/slow")
        #expect(history.refusal(of: "main", model: "org/none") == missing)
        #expect(history.refusal(of: "v2", model: "org/none") == nil)
        #expect(history.refusal(of: "main", model: "org/slow") == nil)
    }

    @Test("a ref is compared once in an interval, and not before if it was set or pulled a moment ago")
    func comparisons() {
        let history = UpstreamHistory(interval: hour)
        #expect(history.isDue("main", of: "org/old", age: .seconds(7200)))
        #expect(!history.isDue("main", of: "org/old", age: .seconds(7200)))
        #expect(!history.isDue("main", of: "org/new", age: .seconds(10)))
        #expect(history.isDue("main", of: "org/absent", age: nil))
        history.noteCurrent("main", of: "org/pulled")
        #expect(!history.isDue("main", of: "org/pulled", age: nil))
        #expect(!UpstreamHistory(interval: nil).isDue("main", of: "org/old", age: nil))
    }

    @Test("a failed comparison is repeated, but not at once")
    func failures() {
        let history = UpstreamHistory(interval: hour)
        #expect(history.isDue("main", of: "org/model", age: nil))
        history.noteFailure("main", of: "org/model")
        #expect(!history.isDue("main", of: "org/model", age: nil))
        let brief = UpstreamHistory(interval: .zero)
        #expect(brief.isDue("main", of: "org/model", age: nil))
        brief.noteFailure("main", of: "org/model")
        #expect(brief.isDue("main", of: "org/model", age: nil))
    }

    @Test("no more names are remembered than allowed")
    func bound() {
        let history = UpstreamHistory(interval: hour, mostNames: 2)
        for name in ["a", "b", "c"] {
            #expect(history.isDue("main", of: name, age: nil))
            history.note(missing, of: "main", model: name)
        }
        #expect(history.isDue("main", of: "a", age: nil))
        #expect(history.refusal(of: "main", model: "a") == nil)
        #expect(history.refusal(of: "main", model: "c") == missing)
    }
}
