import Dispatch
import Storage
import Synchronization

/// Counts the requests for KV blocks that begin with a common prompt.
///
/// The key of a block identifies all tokens up to its end, so a request begins with a prompt if it has the key of the
/// prompt's last whole block at the same index. Prompts shorter than a block are not counted.
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
        /// The time when the marks were read (`StoreClock.coarse`); nil before the first read.
        var readAt: Int64?
        /// `Store.promptChanges` when the marks were read.
        var changes = 0
    }

    /// Nanoseconds after which prompts are read again, because another process may have changed them.
    private static let interval: Int64 = 60_000_000_000

    private let store: Store
    private let model: String
    /// An empty chain, to compute the keys of prompts.
    private let chain: KVChain
    private let state = Mutex(State())

    /// - Parameter chain: an empty chain of the KV blocks that are requested.
    init(of revision: Revision, _ chain: KVChain) {
        store = revision.store
        model = revision.model
        self.chain = chain
    }

    /// Counts the prompts that a request begins with.
    ///
    /// - Parameters:
    ///   - keys: the keys of the request's blocks, from the first.
    ///   - found: prompts that end within this many blocks are not counted.
    func count(_ keys: ArraySlice<ContentDigest>, behind found: Int = 0) throws {
        let used = try marks().filter { mark in
            found < mark.blocks && mark.blocks <= keys.count && keys[keys.startIndex + mark.blocks - 1] == mark.key
        }
        if !used.isEmpty { store.accesses.prompts(used.map(\.prompt)) }
    }

    /// The marks of all prompts. They are read at the first request and after each change of prompts in this process.
    /// Changes of other processes are read every `interval` on another thread, so that a hit never waits for the
    /// catalog.
    private func marks() throws -> [Mark] {
        let now = StoreClock.coarse
        let changes = store.promptChanges.load(ordering: .relaxed)
        let (known, isOld) = state.withLock { state -> ([Mark]?, Bool) in
            guard let readAt = state.readAt, state.changes == changes else { return (nil, false) }
            let isOld = now - readAt >= Self.interval
            // Only one thread reads again.
            if isOld { state.readAt = now }
            return (state.marks, isOld)
        }
        guard let known else { return try read(at: now, after: changes) }
        if isOld {
            DispatchQueue.global().async { [self] in
                // If the catalog cannot be read, the old prompts stay in use until the next interval.
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
