import TestSupport
import Testing
import WeightStore

/// A revision of which only some layers were fetched.
@Suite(.blocking)
struct PartialLoadTests {
    @Test("a load on a terminal shows the layers that were never fetched as empty")
    func terminal() throws {
        let fixture = try HubFixture(TestModel(layers: 3))
        #expect(try fixture.tool()("pull", "org/model", "--layers", "0-0").status == 0)
        var tool = fixture.tool()
        // `script` gives the tool a terminal.
        tool.environment["TERM"] = "xterm"
        let result = try ChildProcess.run(
            [
                "script", "-qec",
                "'\(Tool.path)' load org/model --layers 0-0 --to ram", "/dev/null",
            ], environment: tool.environment.merging(["WEIGHTSTORE_HOME": tool.store]) { $1 })
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.contains("in ram: 4 tensors"), "\(result.output)")
        #expect(result.output.contains("░"), "\(result.output)")
        #expect(try fixture.tool()("bench", "org/model", "--runs", "1").status != 132)
    }

    @Test("the residency of a revision counts never-fetched bytes as not resident")
    func residency() async throws {
        let fixture = try HubFixture(TestModel(layers: 3))
        let store = try fixture.store()
        try await store.pull(fixture.request(FetchSelection(layers: 0...0)))
        let revision = try store.revision("org/model")
        let lease = try await revision.lease(layer: 0, in: .ram)
        let layers = try revision.residency(in: .ram)
        #expect(layers.count == 3 && layers.allSatisfy { $0.bytes > 0 })
        #expect(layers.map { $0.resident == $0.bytes } == [true, false, false])
        #expect(layers.dropFirst().allSatisfy { $0.resident == 0 })
        lease.release()
    }
}
