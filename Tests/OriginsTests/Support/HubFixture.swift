import Foundation
import Origins
import TestSupport
import WeightStore

/// A hub with one model, `org/model`, and an empty store beside it.
final class HubFixture: Sendable {
    let directory: TemporaryDirectory
    let hub: HubServer
    let model: TestModel

    init(_ model: TestModel = TestModel(layers: 2), files: Int = 1) throws {
        directory = try TemporaryDirectory()
        self.model = model
        try model.write(to: directory("hub/org/model"), files: files)
        hub = try HubServer(directory("hub"))
    }

    /// - Parameter idle: seconds without a byte.
    func store(
        _ name: String = "store", token: String? = nil, url: String? = nil, idle: Double = 2, attempts: Int = 4,
        rate: Int? = nil, retrySeconds: Double? = nil
    ) throws -> Store {
        let store = try Store(at: directory(name), create: true)
        var options = TransportOptions()
        options.idleSeconds = idle
        options.attempts = attempts
        options.firstDelaySeconds = 0.02
        options.bytesPerSecond = rate
        if let retrySeconds { options.maximumRetrySeconds = retrySeconds }
        for scheme in ["http", "https"] {
            store.register(scheme: scheme) { [options] url in try HubOrigin(url, token: token ?? "", options: options) }
        }
        return store
    }

    func request(_ selection: FetchSelection = FetchSelection(), _ name: String = "org/model", from url: String? = nil)
        throws
        -> PullRequest
    {
        var request = try PullRequest(name)
        request.origin = url ?? hub.url
        request.selection = selection
        return request
    }

    func file(_ name: String = "model.safetensors") throws -> [UInt8] {
        try contents(directory("hub/org/model/\(name)"))
    }

    /// Bytes of all files.
    var bytes: Int {
        get throws {
            let root = directory("hub/org/model")
            return try TemporaryDirectory.files(below: root).reduce(0) { try $0 + contents("\(root)/\($1)").count }
        }
    }

    func tool(_ store: String = "store") -> Tool {
        var tool = Tool(store: directory(store))
        tool.environment = ["HF_ENDPOINT": hub.url, "HF_TOKEN": "", "HOME": directory("")]
        return tool
    }
}

extension Revision {
    func bytes(of path: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try read(path) { bytes += $0 }
        return bytes
    }
}
