import Foundation
import TestSupport
import Testing
import WeightStore

/// The code of the article `FirstSteps.md`, unchanged.
@Suite(.blocking)
struct FirstStepsTests {
    private let directory = try! TemporaryDirectory()

    @Test("the article's code does what the article says")
    func run() async throws {
        try TestModel(layers: 3).write(to: directory("model"))
        let (storePath, modelPath) = (directory("store"), directory("model"))

        let store = try Store(at: storePath, create: true)

        let summary = try await store.importModel(ImportRequest(source: modelPath, name: "org/model"))
        print("\(summary.revisions[0].model) has version \(summary.revisions[0].version)")

        let revision = try store.revision("org/model@main")
        for layer in try revision.layers() {
            print("\(layer.stack).\(layer.number): \(layer.tensors) tensors, \(layer.bytes) bytes")
        }

        let layer = try revision.layer(0)
        for tensor in layer.tensors {
            let first = tensor.bytes.withUnsafeBytes { $0.first }
            print("\(tensor.entry.name) \(tensor.entry.dtype) \(tensor.entry.shape): begins with \(first ?? 0)")
        }

        try store.open(.ram, TierOptions(budget: 1 << 30))
        let lease = try await revision.lease(layer: 1, in: .ram)
        for tensor in lease.tensors {
            let sum = try lease.withUnsafeBytes(of: tensor) { bytes in bytes.reduce(0) { $0 &+ Int($1) } }
            print("\(tensor.entry.name) at \(lease.address(of: tensor) ?? 0): \(sum)")
        }
        lease.release()

        for try await layer in try revision.stream(to: .ram, ahead: 2) {
            print("layer \(layer.layer ?? 0): \(layer.tensors.count) tensors in RAM")
            layer.release()
        }

        for gauge in store.gauges {
            print("\(gauge.tier): \(gauge.bytes) of \(gauge.budget) bytes, \(gauge.hits) hits, \(gauge.misses) misses")
        }

        #expect(summary.revisions[0].version == 1)
        #expect(try revision.layers().count == 3)
        #expect(store.gauges[0].leased == 0)
        #expect(store.gauges[0].misses > 0)
    }

    @Test("the article has this code in full, and no other")
    func article() throws {
        let path = CProgram.sources.appendingPathComponent("../../Sources/WeightStore/WeightStore.docc/FirstSteps.md")
        let article = try String(contentsOf: path.standardizedFileURL, encoding: .utf8)
        let blocks = article.components(separatedBy: "```swift\n").dropFirst().map { block in
            block.components(separatedBy: "```")[0].split(separator: "\n").map { "        " + $0 }.joined(
                separator: "\n")
        }
        #expect(blocks.count == 7)
        let test = try String(contentsOfFile: #filePath, encoding: .utf8)
        var rest = test[...]
        for block in blocks {
            let place = try #require(rest.range(of: block), "not in the test, or not in this order:\n\(block)")
            rest = rest[place.upperBound...]
        }
    }
}
