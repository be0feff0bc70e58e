import Foundation
import Hummingbird
import WeightStore

/// The Hugging Face Hub's read API (as huggingface_hub 2.4 uses it) for what is in the store.
struct Hub: Sendable {
    let store: Store
    let threads: BlockingThreads
    /// For bytes of files, which may have to be fetched first: nobody else waits behind that.
    let readers: BlockingThreads
    let pulls: PullGate
    /// Entries of a list in one answer at most.
    let pageEntries: Int
    let names = ObjectNames()

    /// A revision that an answer is about.
    struct Held: Sendable {
        let revision: Revision
        let commit: String
        /// Seconds since 1970.
        let created: Int
    }

    /// Finds and holds a revision; if it is not there, it is pulled.
    ///
    /// - Parameter name: a ref, a version or a commit. `main`, and nil, is the last version if no ref is called so.
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
            let isDefault = name == nil || name == "main"
            let revision = try store.revision(isDefault ? model : "\(model)@\(name!)")
            let (commit, created) = try revision.origin()
            return Held(revision: revision, commit: commit, created: created)
        }
    }

    /// The Hub's form of a moment, given in seconds since 1970.
    static func date(_ seconds: Int) -> String {
        Date(timeIntervalSince1970: Double(seconds))
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

    /// Who shows a token is one and the same user.
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
