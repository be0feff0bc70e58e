import Foundation
import TestSupport
import Testing

/// A rule that the tests keep.
@Suite(.blocking) struct SuiteTests {
    @Test("each suite that may wait for a program, a server or a disk runs on threads that may block")
    func blocking() throws {
        let root = URL(filePath: #filePath).appending(path: "../..").standardizedFileURL
        let computing = ["ModelFormatsTests/", "KVCompressionTests/", "SupportTests/", "WireFormatsTests/"]
        let files = TemporaryDirectory.files(below: root.path).filter { path in
            path.hasSuffix(".swift") && !computing.contains { path.hasPrefix($0) }
        }
        #expect(files.count > 50)
        for path in files {
            let text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
            guard text.contains("@Test(") else { continue }
            #expect([".blocking", "extension Faults", "extension Kills"].contains(where: text.contains), "\(path)")
        }
    }

    @Test("sources that a static release build compiles import Testing only where it can be imported")
    func release() throws {
        let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        for folder in ["Sources", "Tests/TestSupport", "Tests/KVBenchmark", "Tests/WarmEngine", "Tests/ExampleEngine"] {
            let place = root.appending(path: folder)
            let files = TemporaryDirectory.files(below: place.path).filter { $0.hasSuffix(".swift") }
            #expect(!files.isEmpty, "\(folder)")
            for file in files {
                let text = try String(contentsOf: place.appending(path: file), encoding: .utf8)
                #expect(!text.contains("import Testing") || text.contains("#if canImport(Testing)"), "\(file)")
            }
        }
    }
}
