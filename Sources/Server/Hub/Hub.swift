import Foundation
import Hummingbird
import Support
import WeightStore
import WireFormats

/// The Hugging Face Hub's read API (as huggingface_hub 2.4 uses it) for the contents of the store.
struct Hub: Sendable {
    let store: Store
    let threads: BlockingThreads
    /// For bytes of files that are stored: a slow disk delays no other request.
    let readers: BlockingThreads
    let pulls: PullGate
    /// For bytes that are not stored.
    let fetches: ByteFetches
    /// The most entries of a list in one response.
    let pageEntries: Int
    let names = ObjectNames()

    /// The revision that a response describes.
    struct Held: Sendable {
        let revision: Revision
        let commit: String
        /// Seconds since 1970.
        let created: Int

        /// Whether the commit is a hub's: that of a revision from elsewhere begins its digest.
        var isFromHub: Bool { !revision.digest.hex.hasBytePrefix(commit) }
    }

    /// Finds and holds a revision; a missing one is pulled. A ref that names a commit of the hub follows the upstream.
    ///
    /// - Parameter name: a ref, a version or a commit. `main` and nil are the last version if there is no ref `main`.
    func hold(_ model: String, _ name: String?) async throws -> Held {
        let held: Held
        do {
            held = try await find(model, name)
        } catch {
            let local = HubError(error)
            guard [.noModel, .noRevision].contains(local) else { throw error }
            do {
                guard try await pulls.pull(model: model, revision: name ?? "main") else { throw error }
            } catch FetchError.notFound("model", _, _) where local == .noRevision {
                // The model is in this store alone.
                throw error
            }
            return try await find(model, name)
        }
        guard held.isFromHub, name.map(Self.isRef) ?? true else { return held }
        let ref = name ?? "main"
        let hasMoved = try await pulls.hasMoved(ref, of: model, from: held.commit) { [store, threads] in
            try await threads.run { try store.timeSinceChange(of: ref, model: model) }
        }
        return try await hasMoved ? find(model, name) : held
    }

    /// Whether a name of a revision may be a ref of the upstream: not a commit, not an exact version.
    private static func isRef(_ name: String) -> Bool {
        !CommitName.isValid(name) && !name.hasBytePrefix("~")
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
}
