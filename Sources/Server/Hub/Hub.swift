import Foundation
import HTTPTypes
import Hummingbird
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
    let registryCache = RegistryCache()

    /// The revision that a response describes.
    struct Held: Sendable {
        let revision: Revision
        let commit: String
        /// Seconds since 1970.
        let created: Int
        /// Whether the commit is a hub's.
        let isFromHub: Bool
        /// Whether the client's name means a version of this store, while a hub may mean another revision by it.
        let isLocalName: Bool
        /// The time since the ref that the client named was set; nil if the name is no ref of the store.
        let refAge: Duration?
        /// Why files are missing, or may be.
        var partial: String?

        /// What a client of another hub would not expect.
        var notes: HTTPFields {
            var fields: HTTPFields = [:]
            if isLocalName, let version = revision.version { fields[.xVersion] = VersionName.text(version) }
            if let partial { fields[.xPartial] = partial }
            return fields
        }
    }

    /// Finds and holds a revision; a missing one is pulled. A ref that names a commit of the hub follows the upstream.
    ///
    /// - Parameter name: a ref, a version or a commit. `main` and nil are the last version if there is no ref `main`, and
    ///   `v3` is version 3 if there is no such ref; but the ref of an upstream precedes both.
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
        let ref = name ?? "main"
        if held.isLocalName && ref != "main" { return try await tagged(model, ref) ?? held }
        // Without the ref main, the last version stands for it only if the upstream does not name its own.
        // A digest and a commit are no refs: they mean one revision.
        guard held.isLocalName || (held.isFromHub && held.refAge != nil) else { return held }
        let commit = held.isLocalName ? nil : held.commit
        let hasMoved = await pulls.hasMoved(ref, of: model, from: commit, age: held.refAge)
        return try await hasMoved ? find(model, name) : held
    }

    /// The revision that is `v3` at the upstream; nil if it has no such ref. Without an answer, the version of the store
    /// must not stand for it.
    private func tagged(_ model: String, _ ref: String) async throws -> Held? {
        do {
            guard try await pulls.pull(model: model, revision: ref) else { return nil }
        } catch FetchError.notFound {
            return nil
        }
        return try await find(model, ref)
    }

    /// As `hold`, for lists of files: the files that the revision lacks are added first.
    ///
    /// - Throws: the error of the upstream for a revision of which files are known to be missing.
    func holdWhole(_ model: String, _ name: String?) async throws -> Held {
        var held = try await hold(model, name)
        let ref = name ?? "main"
        var doubt: String?
        do {
            if try await mayComplete(model, ref), try await pulls.complete(model: model, revision: ref) {
                held = try await find(model, name)
            }
        } catch FetchError.commitGone {
            doubt = HubError.commitGone
        } catch let error as FetchError {
            if try await partialReason(of: held) != nil { throw error }
            doubt = HubError.upstreamFailed
        }
        held.partial = try await partialReason(of: held) ?? doubt
        return held
    }

    /// Whether the upstream may have more files of a revision. Most have all, and wait for no fetch of others.
    func mayComplete(_ model: String, _ revision: String) async throws -> Bool {
        try await threads.run { [pulls] in try pulls.mayComplete(model: model, revision: revision) }
    }

    private func partialReason(of held: Held) async throws -> String? {
        try await threads.run { try held.revision.partialReason() }
    }

    private func find(_ model: String, _ name: String?) async throws -> Held {
        try await threads.run { [store] in
            let ref = name ?? "main"
            let text = ref == "main" ? model : "\(model)@\(ref)"
            let revision = try store.revision(text)
            let (commit, created) = try revision.origin()
            return Held(
                revision: revision, commit: commit, created: created, isFromHub: try revision.isOfHub(),
                isLocalName: try store.isLocalName(text), refAge: try store.timeSinceChange(of: ref, model: model))
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
