import Foundation
import Testing
import TestSupport
import WeightStore

@Suite struct ImportTests {
    let directory = try! TemporaryDirectory()

    @Test("every file comes out as it went in")
    func roundTrip() throws {
        try TestModel().write(to: directory("model"), files: 2)
        try directory.write([UInt8](repeating: 7, count: 3_000_000), to: "model/pytorch_model.bin")
        try directory.write([], to: "model/empty.txt")
        let store = try Store(at: directory("store"), create: true)
        let summary = try store.importModel(ImportRequest(source: directory("model")))
        #expect(summary.revisions.map(\.version) == [1])
        #expect(summary.written > 0)

        let revision = try store.revision("model")
        try revision.export(to: directory("out"))
        let files = TemporaryDirectory.files(below: directory("model"))
        #expect(TemporaryDirectory.files(below: directory("out")) == files)
        for file in files {
            #expect(try contents(directory("out/\(file)")) == contents(directory("model/\(file)")), "\(file)")
        }
        for file in try revision.files() {
            let original = try contents(directory("model/\(file.path)"))
            #expect(file.digest == original.withUnsafeBytes { Digest(of: $0) })
        }
    }
}
