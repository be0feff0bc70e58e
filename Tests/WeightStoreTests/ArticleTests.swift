import Foundation
import TestSupport
import Testing

/// The articles name types, files and tests. A rename must change them, too.
@Suite(.blocking) struct ArticleTests {
    private static let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL.path
    private static let article = root + "/Sources/WeightStore/WeightStore.docc/Architecture.md"

    private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    /// The Swift and SQL sources, by path below the root.
    private func sources() throws -> [String: String] {
        var sources: [String: String] = [:]
        for folder in ["Sources", "Tests", "Migrations"] {
            for file in TemporaryDirectory.files(below: "\(Self.root)/\(folder)")
            where file.hasSuffix(".swift") || file.hasSuffix(".sql") {
                sources["\(folder)/\(file)"] = try text("\(Self.root)/\(folder)/\(file)")
            }
        }
        return sources
    }

    @Test("each file that the article Architecture names exists")
    func files() throws {
        let sources = try sources().keys
        for match in try text(Self.article).matches(of: /`([A-Za-z+\/]+\.(?:swift|sql))`/)
        where match.1 != "Package.swift" {
            #expect(sources.contains { $0 == match.1 || $0.hasSuffix("/\(match.1)") }, "\(match.1)")
        }
    }

    @Test("each function that the article Architecture names is in the sources")
    func functions() throws {
        let code = try sources().filter { !$0.key.hasPrefix("Tests/") }.values.joined(separator: "\n")
        let modules = try FileManager.default.contentsOfDirectory(atPath: Self.root + "/Sources").map { $0[...] }
        let words = Set(code.split { !$0.isLetter && !$0.isNumber && $0 != "_" } + modules)
        for match in try text(Self.article).matches(
            of: /`([A-Z][A-Za-z0-9]+)(?:\.([a-z][A-Za-z0-9]+))?(?:\([a-z_A-Z:]*\))?`/)
        {
            if match.2 == "swift" { continue }
            #expect(words.contains(match.1), "\(match.1)")
            if let member = match.2 { #expect(words.contains(member), "\(match.1).\(member)") }
        }
    }

    @Test("each invariant of the article Architecture is held by a test that exists")
    func invariants() throws {
        let sources = try sources()
        var count = 0
        for line in try text(Self.article).split(separator: "\n") where line.hasPrefix("| ") {
            var rest = line
            // "name of a test" (`Folder/File.swift`), perhaps several names before one file.
            while let match = rest.firstMatch(of: /((?:"[^"]+"(?:, )?)+) \(`([A-Za-z]+\/[A-Za-z+]+\.swift)`\)/) {
                let test = try #require(sources["Tests/\(match.2)"], "\(match.2)")
                for name in match.1.matches(of: /"([^"]+)"/) {
                    #expect(test.contains("\"\(name.1)\""), "\(name.1) in \(match.2)")
                    count += 1
                }
                rest = rest[match.range.upperBound...]
            }
        }
        #expect(count > 30)
    }
}
