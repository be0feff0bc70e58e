import Foundation
import TestSupport
import Testing

/// `origin`, and the messages of `import`, `evict`, `verify`, `rm` and `pin` about origins.
@Suite(.blocking) struct OriginCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool
    private var url: String { "file://\(directory("base"))" }

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1).write(to: directory("base"))
        try #require(try tool("import", directory("base"), "--name", "org/base", "--origin", url).status == 0)
    }

    @Test("origins are listed, added after a check, checked and removed")
    func commands() throws {
        let listed = try tool("origin", "ls", "org/base", "--json").list()
        #expect(listed.count == 1)
        #expect(listed.first?["revision"] as? String == "org/base@~1" && listed.first?["origin"] as? String == url)
        #expect(listed.first?["checked"] as? Int != nil)
        #expect(try tool("origin", "check").output.contains("holds org/base@~1"))

        try FileManager.default.copyItem(atPath: directory("base"), toPath: directory("copy"))
        let copy = "file://\(directory("copy"))"
        #expect(try tool("origin", "add", "org/base", copy).status == 0)
        #expect(try tool("origin", "ls").output.contains(copy))
        try TestModel(layers: 1, seed: 9).write(to: directory("wrong"))
        let wrong = try tool("origin", "add", "org/base@~1", "file://\(directory("wrong"))")
        #expect(wrong.status == 6 && wrong.errors.contains("does not hold org/base@~1"), "\(wrong.errors)")
        #expect(try tool("origin", "rm", "org/base", url).output.contains("org/base@~1"))
        #expect(try tool("origin", "rm", "org/base", url).status == 2)
        try FileManager.default.removeItem(atPath: directory("copy"))
        let gone = try tool("origin", "check", "org/base")
        #expect(gone.status == 12 && gone.output.contains("could not be checked"), "\(gone.output)")
    }

    @Test("the secrets of an origin's URL are not printed, and the printed URL names the origin")
    func secrets() throws {
        let url = "http://user:topsecret@127.0.0.1:1/?token=topsecret"
        let shown = "http://***@127.0.0.1:1/?token=***"
        #expect(try tool("origin", "add", "org/base", url, "--trust").status == 0)
        let refused = try tool("origin", "add", "org/base", "ftp://user:topsecret@host/")
        #expect(refused.status == 6 && refused.errors.contains("ftp://***@host/"), "\(refused.errors)")
        let unknown = try tool("origin", "rm", "org/base", "http://user:topsecret@127.0.0.1:2")
        #expect(unknown.status == 2 && unknown.errors.contains("http://***@127.0.0.1:2"), "\(unknown.errors)")
        let listings = try [
            tool("origin", "ls"), tool("origin", "ls", "--json"), tool("show", "org/base"),
            tool("show", "org/base", "--json"),
        ]
        for result in listings { #expect(result.status == 0 && result.output.contains(shown), "\(result.output)") }
        for result in listings + [refused, unknown] {
            #expect(!(result.output + result.errors).contains("topsecret"))
        }
        #expect(try tool("origin", "rm", "org/base", shown).output.contains("removed from org/base@~1"))
        #expect(try !tool("origin", "ls").output.contains("127.0.0.1"))
    }

    @Test("import --origin is refused if the origin lacks the files or does not answer; --trust skips the check")
    func importing() throws {
        try TestModel(layers: 1, seed: 9).write(to: directory("other"))
        let lacks = try tool("import", directory("other"), "--origin", url)
        #expect(lacks.status == 6 && lacks.errors.contains("does not hold other") && lacks.errors.contains("--trust"))
        let silent = try tool("import", directory("other"), "--origin", "file:///nowhere/at/all")
        #expect(silent.status == 12, "\(silent.errors)")
        #expect(try tool("ls", "--quiet").output == "org/base\n")
        #expect(try tool("import", directory("other"), "--origin", "file:///nowhere/at/all", "--trust").status == 0)
    }

    @Test("evict ends with status 12 if an origin does not answer, and keeps the shards that only this origin has")
    func evicting() throws {
        // A trusted import counts as checked now; one of an hour ago does not.
        let database = directory("store/store.db")
        let sql = "UPDATE revision_origin SET checked_at = checked_at - 7200"
        try #require(try ChildProcess(["python3", "-c", Self.execute, database, sql]).result().status == 0)
        try FileManager.default.moveItem(atPath: directory("base"), toPath: directory("away"))
        let evicted = try tool("evict", "--free", "1T")
        #expect(evicted.status == 12 && evicted.errors.contains("could not be checked for org/base@~1"))
        #expect(
            try tool("cat", "org/base", "model.safetensors").bytes == contents(directory("away/model.safetensors")))
    }

    private static let execute =
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"

    @Test("verify and pin report bytes that are not stored, and whether an origin has them")
    func reports() throws {
        #expect(try tool("evict", "--free", "1T").status == 13)
        let verify = try tool("verify")
        #expect(verify.status == 0 && !verify.output.contains("intact"), "\(verify.output)")
        #expect(verify.output.contains("not stored: an origin has them"))
        let pinned = try tool("pin", "org/base")
        #expect(pinned.output.contains("org/base@~1 pinned") && pinned.output.contains("not stored"))
        let fetched = try tool("pin", "org/base", "--fetch")
        #expect(fetched.output == "org/base@~1 pinned\n", "\(fetched.output)")
        #expect(try tool("verify").output.contains("all intact"))

        #expect(try tool("unpin", "org/base").status == 0)
        #expect(try tool("evict", "--free", "1T").status == 13)
        try TestModel(layers: 1, seed: 9).write(to: directory("base"))
        let lost = try tool("verify", "--origins")
        #expect(lost.status == 3 && lost.errors.contains("lost") && lost.errors.contains("affects org/base@~1"))
        #expect(lost.errors.contains("does not hold org/base@~1"))
    }
}
