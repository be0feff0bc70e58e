import Foundation
import TestSupport
import Testing

/// The quick start of README.md.
@Suite(.blocking)
struct QuickStartTests {
    private let directory = try! TemporaryDirectory()

    @Test("the commands of the quick start print what README.md shows")
    func run() throws {
        let blocks = try ArticleBlock.all(in: "README.md", marked: ["console"])
        try #require(blocks.count == 1 && !blocks[0].steps.isEmpty, "README.md has one block marked console")
        let outcomes = try blocks[0].run(
            in: directory.path, environment: ["PATH": Tool.searchPath, "WEIGHTSTORE_HOME": directory("store")])
        for outcome in outcomes {
            let command = outcome.step.command
            #expect(outcome.status == 0, "\(command)\n\(outcome.output)")
            #expect(
                outcome.output.map(ArticleBlock.normalized) == outcome.step.output.map(ArticleBlock.normalized),
                "\(command)")
        }
    }
}
