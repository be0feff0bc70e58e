import Foundation
import TestSupport
import Testing
import WeightStore

/// What a pull would fetch.
@Suite(.blocking) struct PullPlanTests {
    @Test("pull --dry-run shows the bytes that would be fetched, and creates no store")
    func command() throws {
        let fixture = try HubFixture()
        let plan = try fixture.tool()("pull", "org/model", "--dry-run", "--json").object()
        #expect(plan["bytes"] as? Int == (try fixture.bytes) && plan["stored"] as? Int == 0)
        #expect(plan["selected"] as? Int == plan["bytes"] as? Int)
        #expect(!FileManager.default.fileExists(atPath: fixture.directory("store/store.db")))
        #expect(try fixture.tool()("pull", "org/model").status == 0)
        let again = try fixture.tool()("pull", "org/model", "--dry-run")
        #expect(again.output.contains(", 0 B would be fetched"), "\(again.output)")
    }

    @Test("the plan of some layers counts their bytes, and those that a partial pull has stored")
    func layers() throws {
        let fixture = try HubFixture()
        let store = try fixture.store()
        let request = try fixture.request(FetchSelection(layers: 0...0))
        let before = try store.pullPlan(request)
        #expect(before.selected > 0 && before.selected < before.bytes)
        _ = try store.pullBlocking(request)
        let after = try store.pullPlan(request)
        #expect(after.missing == 0 && after.stored == after.selected, "\(after)")
        let rest = try store.pullPlan(fixture.request())
        #expect(rest.stored >= after.stored && rest.missing > 0 && rest.missing < rest.bytes, "\(rest)")
        #expect(throws: StorageError.self) { try store.pullPlan(fixture.request(FetchSelection(layers: 7...9))) }
    }
}
