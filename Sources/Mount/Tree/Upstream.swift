import Logging
import Origins
import Support
import Synchronization
import WeightStore

/// The hub behind a mount: adds what is opened and the store lacks, and moves refs that have moved there. All calls but
/// `isDue` wait for it.
final class Upstream: Sendable {
    private struct Key: Hashable {
        let model: ByteText
        let ref: ByteText
    }

    private struct Refusal {
        let error: FetchError
        let end: ContinuousClock.Instant
    }

    private struct State {
        /// What the upstream has refused.
        var refusals: [Key: Refusal] = [:]
        /// The times of the next comparisons of refs.
        var due: [Key: ContinuousClock.Instant] = [:]
    }

    /// The time for which a refusal is remembered.
    private static let refusalTime = Duration.seconds(5)
    /// The most names that are remembered.
    private static let mostNames = 4096

    private let store: Store
    private let source: any PullThrough
    private let logger: Logger
    private let state = Mutex(State())

    init(_ source: any PullThrough, _ store: Store, _ logger: Logger) {
        self.source = source
        self.store = store
        self.logger = logger
    }

    /// Adds a revision that the store lacks.
    ///
    /// - Returns: whether it is in the store now.
    /// - Throws: ``FetchError``, `CancellationError`, errors of the store.
    func pull(_ revision: MountNode.RevisionDirectory, _ work: Work) throws -> Bool {
        let (key, ref) = Self.key(revision)
        if let error = refusal(key) { throw error }
        do {
            let isFound = try work.wait { [source] in try await source.pull(model: revision.model.text, revision: ref) }
            if isFound { setDue(key) }
            return isFound
        } catch let error as FetchError {
            switch error {
            case .notFound, .unauthorized: remember(error, of: key)
            default: break
            }
            throw error
        }
    }

    /// Adds the files that a revision lacks.
    ///
    /// - Returns: whether there are more files now.
    func complete(_ revision: MountNode.RevisionDirectory, _ work: Work) throws -> Bool {
        let (model, ref) = (revision.model.text, Self.key(revision).ref)
        guard try source.mayComplete(model: model, revision: ref) else { return false }
        return try work.wait { [source] in try await source.complete(model: model, revision: ref) }
    }

    /// Whether a revision may have files that the store lacks.
    func mayComplete(_ revision: MountNode.RevisionDirectory) -> Bool {
        // An earlier failure is reported by its own log line, and what the store has is shown.
        (try? source.mayComplete(model: revision.model.text, revision: Self.key(revision).ref)) ?? false
    }

    /// Whether a ref is to be compared with the upstream's, and by this caller: the next is due after the interval.
    func isDue(_ revision: MountNode.RevisionDirectory) throws -> Bool {
        guard revision.isRef, let interval = source.revalidationInterval else { return false }
        let (key, ref) = Self.key(revision)
        let now = ContinuousClock.now
        // What the store lacks is pulled instead.
        do { _ = try store.identity(of: revision.text) } catch StorageError.notFound { return false }
        let age = try store.timeSinceChange(of: ref, model: revision.model.text)
        return state.withLock { state in
            if let due = state.due[key] {
                guard due <= now else { return false }
            } else if let age, age < interval {
                state.due[key] = now + (interval - age)
                return false
            }
            if state.due.count >= Self.mostNames { state.due = state.due.filter { $0.value > now } }
            state.due[key] = now + interval
            return true
        }
    }

    /// Compares a ref with the upstream's, and moves it. A failure is logged: the store has a revision to show.
    func revalidate(_ revision: MountNode.RevisionDirectory, _ work: Work) {
        let ref = Self.key(revision).ref
        do {
            let row = try store.identity(of: revision.text)
            guard let tree = try store.tree(of: row), try store.isOfHub(row) else { return }
            let commit = try store.isLocalName(revision.text) ? nil : tree.commit
            _ = try work.wait { [source] in
                try await source.revalidate(ref: ref, of: revision.model.text, commit: commit)
            }
        } catch {
            logger.warning(
                "\(revision.text) was not compared with the upstream; the stored revision is shown: \(error)")
        }
    }

    private static func key(_ revision: MountNode.RevisionDirectory) -> (key: Key, ref: String) {
        let ref = revision.ref?.text ?? "main"
        return (Key(model: revision.model, ref: ByteText(ref)), ref)
    }

    private func setDue(_ key: Key) {
        guard let interval = source.revalidationInterval else { return }
        state.withLock { $0.due[key] = .now + interval }
    }

    private func refusal(_ key: Key) -> FetchError? {
        state.withLock { state in
            guard let refusal = state.refusals[key] else { return nil }
            if refusal.end > .now { return refusal.error }
            state.refusals[key] = nil
            return nil
        }
    }

    private func remember(_ error: FetchError, of key: Key) {
        state.withLock { state in
            if state.refusals.count >= Self.mostNames {
                state.refusals = state.refusals.filter { $0.value.end > .now }
            }
            if state.refusals.count >= Self.mostNames { state.refusals = [:] }
            state.refusals[key] = Refusal(error: error, end: .now + Self.refusalTime)
        }
    }
}
