import DeviceMemory
import Server
import WeightStore

/// The hub behind a server: what clients ask for and the store lacks becomes known from there, and its bytes travel when
/// they are asked for.
struct UpstreamHub: PullThrough {
    private let store: Store
    private let url: String
    // Pulls wait for the network: not for the threads that answer requests.
    private let threads: WorkerThreads

    /// - Parameter url: as in `weightstore pull --origin`.
    init(_ store: Store, url: String) throws {
        self.store = store
        self.url = url
        threads = try WorkerThreads(count: 4)
    }

    func pull(model: String, revision: String) async throws -> Bool {
        try await withCheckedThrowingContinuation { continuation in
            threads.submit { continuation.resume(with: Result { try pullNow(model, revision) }) }
        }
    }

    private func pullNow(_ model: String, _ revision: String) throws -> Bool {
        var request = try PullRequest("\(model)@\(revision)")
        request.origin = url
        request.selection = .nothing
        do {
            try store.pull(request, progress: store.misses)
            return true
        } catch FetchError.notFound {
            return false
        }
    }
}
