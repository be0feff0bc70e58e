import TestSupport
@testable import WeightStore

/// A store with one model, `org/model`, which its origin has, too.
struct ActivityFixture {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 2).write(to: directory("model"))
        var request = ImportRequest(source: directory("model"), name: "org/model")
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
    }

    func other() throws -> Store { try Store(at: directory("store")) }
}
