import Glibc
import TestSupport
import WeightStore

/// A hub: `weightstore serve` over a second store in the directory of a sequence. Events change it, and the commands of
/// the sequence fetch from it.
final class SequenceHub {
    /// What the hub has.
    struct Contents {
        let url: String
        /// The files of each revision of the model. The last one is `main`.
        var revisions: [SequenceDirectory.Contents] = []
        /// Whether it answers. Otherwise it requires a token, which the commands lack: unlike a connection that is
        /// refused, such an answer does not cost half a minute of retries.
        var isOpen = true
    }

    /// The one model of the hub. No directory is imported under this name.
    static let model = "org/x"

    private(set) var contents: Contents
    private let tool: Tool
    private let port: FreePort
    private var server: ChildProcess

    /// - Parameter root: the directory of the sequence.
    init(_ root: String) throws {
        let store = root + "/hub"
        _ = try Store(at: store, create: true)
        tool = Tool(store: store)
        let port = try FreePort()
        self.port = port
        let server = try Self.serve(store, port, isOpen: true)
        contents = Contents(url: try server.line())
        self.server = server
    }

    private static func serve(_ store: String, _ port: FreePort, isOpen: Bool) throws -> ChildProcess {
        let token = isOpen ? [] : ["env", "WEIGHTSTORE_TOKEN=0123456789abcdef0123456789abcdef"]
        return try ChildProcess.daemon(token + [Tool.path, "serve", "--port", "\(port.number)", "--store", store])
    }

    /// Imports a directory as the newest revision. One that an import refuses is not published.
    func publish(_ path: String, _ files: SequenceDirectory.Contents) throws {
        guard try tool("import", path, "--name", Self.model).status == 0 else { return }
        contents.revisions.removeAll { $0 == files }
        contents.revisions.append(files)
    }

    /// Removes the model, unless it is in use.
    func withdraw() throws {
        guard try tool("rm", Self.model).status == 0 else { return }
        contents.revisions = []
    }

    /// Begins to require a token, or no longer does, at the same URL.
    func set(isOpen: Bool) throws {
        server.end(SIGKILL)
        server = try Self.serve(tool.store, port, isOpen: isOpen)
        let url = try server.line()
        guard url == contents.url else { throw SequenceFailure("the hub has moved to \(url)") }
        contents.isOpen = isOpen
    }
}
