import Foundation
import Hummingbird
import WeightStore
import WireFormats

/// The Hugging Face Hub's read API (as huggingface_hub 2.4 uses it) for the contents of the store.
struct Hub: Sendable {
    let store: Store
    let threads: BlockingThreads
    /// For bytes of files, which may wait for a fetch: separate threads, so that no other request waits behind it.
    let readers: BlockingThreads
    let pulls: PullGate
    /// The most entries of a list in one response.
    let pageEntries: Int
    let names = ObjectNames()
    let registryCache = RegistryCache()

    /// The revision that a response describes.
    struct Held: Sendable {
        let revision: Revision
        let commit: String
        /// Seconds since 1970.
        let created: Int
    }

    /// Finds and holds a revision; a missing one is pulled.
    ///
    /// - Parameter name: a ref, a version or a commit. `main` and nil are the last version if there is no ref `main`.
    func hold(_ model: String, _ name: String?) async throws -> Held {
        do {
            return try await find(model, name)
        } catch {
            guard [.noModel, .noRevision].contains(HubError(error)),
                try await pulls.pull(model: model, revision: name ?? "main")
            else { throw error }
            return try await find(model, name)
        }
    }

    private func find(_ model: String, _ name: String?) async throws -> Held {
        try await threads.run { [store] in
            let name = name == "main" ? nil : name
            let revision = try store.revision(name.map { "\(model)@\($0)" } ?? model)
            let (commit, created) = try revision.origin()
            return Held(revision: revision, commit: commit, created: created)
        }
    }

    /// The last second of the year 9999.
    private static let lastSecond = 253_402_300_799

    /// A time in the Hub's format, from seconds since 1970.
    static func date(_ seconds: Int) -> String {
        // Foundation's calendars trap on times that are too large.
        Date(timeIntervalSince1970: Double(min(max(seconds, 0), lastSecond)))
            .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

extension Hub {
    private struct User: Encodable {
        struct Auth: Encodable {
            struct Token: Encodable {
                let displayName = "weightstore"
                let role = "read"
            }
            let type = "access_token"
            let accessToken = Token()
        }
        let type = "user"
        let name = "weightstore"
        let fullname = "weightstore"
        let orgs: [String] = []
        let auth = Auth()
    }

    /// Every client with a token is the same user.
    func whoAmI(_ request: Request) throws -> Answer {
        guard request.headers.contains(.authorization) else { throw HubError.unauthorized(isMissing: true) }
        return try .json(User())
    }

    private struct Nothing: Encodable {}

    func authCheck(_ model: String) async throws -> Answer {
        _ = try await hold(model, nil)
        return try .json(Nothing())
    }

    private struct Discussions: Encodable {
        let discussions: [Nothing] = []
        let count = 0
        let start = 0
        let numClosedDiscussions = 0
    }

    /// The discussions and pull requests of a model: a store has none.
    func discussions(_ model: String) async throws -> Answer {
        _ = try await hold(model, nil)
        return try .json(Discussions())
    }
}
