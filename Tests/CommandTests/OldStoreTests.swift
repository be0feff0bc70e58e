import GRDB
import Migrations
import Support
import TestSupport
import Testing

/// The first command on a store of an older version.
@Suite(.blocking) struct OldStoreTests {
    @Test("on a terminal a migration says once why the command is slow; elsewhere it is silent")
    func notice() throws {
        let directory = try TemporaryDirectory()
        let tool = Tool(store: directory("store"))
        try TestModel(layers: 1).write(to: directory("model"))
        #expect(try tool("import", directory("model")).status == 0)
        try OldStore.downgrade(directory("store"))
        let silent = try tool("ls")
        #expect(silent.status == 0 && silent.errors.isEmpty && silent.output.contains("model"))
        try OldStore.downgrade(directory("store"))
        var terminal = tool
        terminal.prefix = ["sh", "-c", #"script -qec "'$0' $1" /dev/null"#]
        #expect(try terminal("ls").output.contains("made by an older version"))
        #expect(try !terminal("ls").output.contains("made by an older version"))
    }

    @Test("two processes open an old store at once: both succeed, and it is migrated")
    func twoAtOnce() async throws {
        let fixture = try StoreFixture()
        let processes = try (0..<2).map { _ in try Tool(store: fixture.store).start(["ls"]) }
        for process in processes {
            let result = try await onThread { process.result() }
            #expect(result.status == 0, "\(result.errors)")
            for model in fixture.facts.models { #expect(result.output.contains(model.name)) }
        }
        let queue = try DatabaseQueue(path: fixture.store + "/store.db")
        let applied = try await queue.read { db in
            try String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations ORDER BY identifier")
        }
        #expect(applied == Migrations.all.map(\.name))
    }
}
