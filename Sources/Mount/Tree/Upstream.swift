import Logging
import Origins
import Support
import WeightStore

/// The hub behind a mount: adds what is opened and the store lacks, and moves refs that have moved there. All calls but
/// `isDue` wait for it.
final class Upstream: Sendable {
    private let store: Store
    private let source: any PullThrough
    private let logger: Logger
    private let history: UpstreamHistory

    init(_ source: any PullThrough, _ store: Store, _ logger: Logger) {
        self.source = source
        history = UpstreamHistory(interval: source.revalidationInterval)
        self.store = store
        self.logger = logger
    }

    /// Adds a revision that the store lacks.
    ///
    /// - Returns: whether it is in the store now.
    /// - Throws: ``FetchError``, `CancellationError`, errors of the store.
    func pull(_ revision: MountNode.RevisionDirectory, _ work: Work) throws -> Bool {
        let (model, ref) = (revision.model.text, Self.ref(revision))
        guard Self.mayHave(revision) else { return false }
        if let error = history.refusal(of: ref, model: model) { throw error }
        do {
            let isFound = try work.wait { [source] in try await source.pull(model: model, revision: ref) }
            if isFound { history.noteCurrent(ref, of: model) }
            return isFound
        } catch let error as FetchError {
            history.note(error, of: ref, model: model)
            throw error
        }
    }

    /// Adds the files that a revision lacks.
    ///
    /// - Returns: whether there are more files now.
    func complete(_ revision: MountNode.RevisionDirectory, _ work: Work) throws -> Bool {
        let (model, ref) = (revision.model.text, Self.ref(revision))
        guard try source.mayComplete(model: model, revision: ref) else { return false }
        return try work.wait { [source] in try await source.complete(model: model, revision: ref) }
    }

    /// Whether a revision may have files that the store lacks.
    func mayComplete(_ revision: MountNode.RevisionDirectory) -> Bool {
        // An earlier failure is reported by its own log line, and what the store has is shown.
        (try? source.mayComplete(model: revision.model.text, revision: Self.ref(revision))) ?? false
    }

    /// Whether a ref is to be compared with the upstream's, and by this caller: the next is due after the interval.
    func isDue(_ revision: MountNode.RevisionDirectory) throws -> Bool {
        guard revision.isRef, source.revalidationInterval != nil, Self.mayHave(revision) else { return false }
        // What the store lacks is pulled instead.
        do { _ = try store.identity(of: revision.text) } catch StorageError.notFound { return false }
        let (model, ref) = (revision.model.text, Self.ref(revision))
        return try history.isDue(ref, of: model, age: store.timeSinceChange(of: ref, model: model))
    }

    /// Compares a ref with the upstream's, and moves it. A failure is logged: the store has a revision to show.
    func revalidate(_ revision: MountNode.RevisionDirectory, _ work: Work) {
        let ref = Self.ref(revision)
        do {
            let row = try store.identity(of: revision.text)
            guard let tree = try store.tree(of: row), try store.isOfHub(row) else { return }
            let commit = try store.isLocalName(revision.text) ? nil : tree.commit
            _ = try work.wait { [source] in
                try await source.revalidate(ref: ref, of: revision.model.text, commit: commit)
            }
        } catch {
            history.noteFailure(ref, of: revision.model.text)
            logger.warning(
                "\(revision.text) was not compared with the upstream; the stored revision is shown: \(error)")
        }
    }

    /// False for a ref that no upstream has, because it has not git's syntax.
    private static func mayHave(_ revision: MountNode.RevisionDirectory) -> Bool {
        let ref = ref(revision)
        return !revision.isRef || CommitName.isValid(ref) || (try? RefName.check(ref)) != nil
    }

    private static func ref(_ revision: MountNode.RevisionDirectory) -> String { revision.ref?.text ?? "main" }
}
