import Dispatch
import Storage
import Synchronization

/// Counts the requests that begin with a common prompt, where they ask for KV blocks.
///
/// The key of a block stands for all tokens up to its end, so a request begins with a prompt if it has the key of the
/// prompt's last whole block in the same place. A prompt shorter than a block is not seen.
final class PromptUses: Sendable {
    private struct Mark {
        let prompt: Int64
        /// Whole blocks of the prompt.
        let blocks: Int
        /// The key of the last one.
        let key: ContentDigest
    }

    private struct State {
        var marks: [Mark] = []
        /// When they were read, by `StoreClock.coarse`, and after how many changes in this process.
        var readAt: Int64?
        var changes = 0
    }

    /// Nanoseconds until prompts are read again, which another process may have changed.
    private static let interval: Int64 = 60_000_000_000

    private let store: Store
    private let model: String
    /// Without tokens.
    private let chain: KVChain
    private let state = Mutex(State())

    /// - Parameter chain: an empty one of the KV blocks that are looked for.
    init(of revision: Revision, _ chain: KVChain) {
        store = revision.store
        model = revision.model
        self.chain = chain
    }

    /// Counts the prompts that a request begins with.
    ///
    /// - Parameters:
    ///   - keys: of the request's blocks, from the first on.
    ///   - found: prompts that end within so many blocks are passed over.
    func count(_ keys: ArraySlice<ContentDigest>, behind found: Int = 0) throws {
        let used = try marks().filter { mark in
            found < mark.blocks && mark.blocks <= keys.count && keys[keys.startIndex + mark.blocks - 1] == mark.key
        }
        if !used.isEmpty { store.accesses.prompts(used.map(\.prompt)) }
    }

    /// Read at the first request, and when this process has changed prompts; what another one has changed is looked for now
    /// and then on another thread, so that a lease on what is there asks nobody.
    private func marks() throws -> [Mark] {
        let now = StoreClock.coarse
        let changes = store.promptChanges.load(ordering: .relaxed)
        let (known, isOld) = state.withLock { state -> ([Mark]?, Bool) in
            guard let readAt = state.readAt, state.changes == changes else { return (nil, false) }
            let isOld = now - readAt >= Self.interval
            // One reader is enough.
            if isOld { state.readAt = now }
            return (state.marks, isOld)
        }
        guard let known else { return try read(at: now, after: changes) }
        if isOld {
            DispatchQueue.global().async { [self] in
                // A catalog that can't be read now may be the next time; until then the old prompts count.
                _ = try? read(at: now, after: changes)
            }
        }
        return known
    }

    private func read(at now: Int64, after changes: Int) throws -> [Mark] {
        let prompts = try store.catalog.read { db in try PromptTable.tokens(of: model, now: StoreClock.now, db) }
        let marks = prompts.compactMap { prompt in
            var chain = chain
            chain.append(prompt.tokens)
            return chain.keys.last.map { Mark(prompt: prompt.id, blocks: chain.blocks, key: $0) }
        }
        state.withLock { $0 = State(marks: marks, readAt: now, changes: changes) }
        return marks
    }
}
