import Foundation
import HTTPTypes
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

    /// The revision that a response describes.
    struct Held: Sendable {
        let revision: Revision
        let commit: String
        /// Seconds since 1970.
        let created: Int
        /// Whether the client's name means a version of this store, while a hub may mean another revision by it.
        let isLocalName: Bool
        /// Why files are missing, or may be.
        var partial: String?

        /// What a client of another hub would not expect.
        var notes: HTTPFields {
            var fields: HTTPFields = [:]
            if isLocalName, let version = revision.version { fields[.xVersion] = "~\(version)" }
            if let partial { fields[.xPartial] = partial }
            return fields
        }
    }

    /// Finds and holds a revision; a missing one is pulled.
    ///
    /// - Parameter name: a ref, a version or a commit. `main` and nil are the last version if there is no ref `main`, and
    ///   `v3` is version 3 if there is no such ref; but an upstream that has such a ref is asked first.
    func hold(_ model: String, _ name: String?) async throws -> Held {
        let held: Held
        do {
            held = try await find(model, name)
        } catch {
            guard [.noModel, .noRevision].contains(HubError(error)),
                try await pulls.pull(model: model, revision: name ?? "main")
            else { throw error }
            return try await find(model, name)
        }
        guard held.isLocalName else { return held }
        do {
            guard try await pulls.pull(model: model, revision: name ?? "main") else { return held }
        } catch let error as FetchError where (name ?? "main") == "main" {
            // Without an answer, the last version is the best guess. A version in place of a tag would be none.
            store.report("\(model): the upstream did not name its revision main; the last version is served: \(error)")
            return held
        }
        return try await find(model, name)
    }

    /// As `hold`, for lists of files: the files that the revision lacks are added first.
    ///
    /// - Throws: the error of the upstream for a revision of which files are known to be missing.
    func holdWhole(_ model: String, _ name: String?) async throws -> Held {
        var held = try await hold(model, name)
        var doubt: String?
        do {
            if try await pulls.complete(model: model, revision: name ?? "main") { held = try await hold(model, name) }
        } catch FetchError.commitGone {
            doubt = HubError.commitGone
        } catch let error as FetchError {
            if try await partialReason(of: held) != nil { throw error }
            doubt = HubError.upstreamFailed
        }
        held.partial = try await partialReason(of: held) ?? doubt
        return held
    }

    private func partialReason(of held: Held) async throws -> String? {
        try await threads.run { try held.revision.partialReason() }
    }

    private func find(_ model: String, _ name: String?) async throws -> Held {
        try await threads.run { [store] in
            let name = name == "main" || name == nil ? model : "\(model)@\(name ?? "")"
            let revision = try store.revision(name)
            let (commit, created) = try revision.origin()
            return Held(
                revision: revision, commit: commit, created: created, isLocalName: try store.isLocalName(name))
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
