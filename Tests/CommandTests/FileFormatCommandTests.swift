import Foundation
import TestSupport
import Testing

/// Unusual files, and files that are something else than their names say, as a user of the tool sees them.
@Suite(.blocking) struct FileFormatCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws { tool = Tool(store: directory("store")) }

    @Test("a page in place of weights is refused with its real cause; --opaque keeps it with a warning")
    func page() throws {
        try directory.write("<html><body>Sign in</body></html>", to: "page/model.safetensors")
        let refused = try tool("import", directory("page"))
        #expect(refused.status == 6)
        #expect(refused.errors.contains("the file is an HTML page, not safetensors"))
        #expect(refused.errors.contains("\"--opaque\" keeps the file without its tensors."))
        let kept = try tool("import", directory("page"), "--opaque", "--json")
        #expect(kept.status == 0)
        let summary = try #require(try kept.json() as? [String: Any])
        let warnings = try #require(summary["warnings"] as? [[String: String]])
        #expect(warnings.map { $0["path"] } == ["model.safetensors"])
        #expect(warnings[0]["warning"]?.contains("The file is kept without its tensors.") == true)
        #expect(try tool("files", "page").output.contains("other"))
        #expect(try tool("import", directory("page"), "--opaque", "--strict").status == 64)
    }

    @Test("an index that names missing tensors is a warning; --strict refuses it and says how to keep it")
    func staleIndex() throws {
        try TestModel(layers: 1).write(to: directory("stale"))
        try directory.write(
            #"{"weight_map": {"gone": "model.safetensors"}}"#, to: "stale/model.safetensors.index.json")
        let strict = try tool("import", directory("stale"), "--strict")
        #expect(strict.status == 6 && strict.errors.contains("Leave out --strict to keep the file."))
        let kept = try tool("import", directory("stale"))
        #expect(kept.status == 0)
        #expect(kept.errors.contains("model.safetensors.index.json: warning: tensor \"gone\": "))
    }

    @Test("show names the files with tensors that engines do not load with the others")
    func hint() throws {
        let model = TestModel(layers: 1)
        try model.write(to: directory("twice"), files: 2)
        try directory.write(model.file(model.tensors), to: "twice/consolidated.safetensors")
        #expect(try tool("import", directory("twice")).status == 0)
        let shown = try tool("show", "twice@main")
        #expect(shown.output.contains("hint      engines load 2 files (model-00001-of-00002.safetensors, …); beside"))
        #expect(shown.output.contains("beside it: consolidated.safetensors."))
        #expect(try tool("show", "twice@main", "--json").output.contains("\"others\""))
        try TestModel(layers: 1).write(to: directory("once"))
        #expect(try tool("import", directory("once")).status == 0)
        #expect(try !tool("show", "once@main").output.contains("hint"))
    }

    @Test("show fetches nothing: while an index is not stored, it has no hint")
    func evictedIndex() throws {
        try TestModel(layers: 1).write(to: directory("far"), files: 2)
        #expect(try tool("import", directory("far"), "--origin", "file://" + directory("far")).status == 0)
        #expect(try tool("show", "far@main", "--json").output.contains("\"others\""))
        #expect(try tool("evict", "--free", "1T").status == 13)
        let stored = try tool("quota", "--json").object()["bytes"] as? Int
        let shown = try tool("show", "far@main", "--json")
        #expect(shown.status == 0 && !shown.output.contains("\"others\""))
        #expect(try tool("quota", "--json").object()["bytes"] as? Int == stored)
    }
}
