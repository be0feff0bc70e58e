import Crypto
import Dispatch
import Storage
import Support
import Synchronization

/// The SHA-256 of a whole file whose pieces arrive in nearly the right order.
///
/// Early pieces wait in their buffers. If a piece will not arrive (it is stored already, or another fetch has it),
/// `giveUp` ends the hash, and the file is hashed from the store when it is complete.
///
/// Sendable because its state is behind a mutex, and the hasher is used only on `queue`.
final class OrderedFileHasher: @unchecked Sendable {
    private struct State {
        var next = 0
        var early: [Int: (buffer: Buffer, count: Int)] = [:]
        var hasGivenUp = false
    }

    private let bytes: Int
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "weightstore.fetch.file")
    private var hasher = SHA256()

    init(bytes: Int) { self.bytes = bytes }

    func add(_ buffer: Buffer, _ count: Int, at offset: Int) {
        state.withLock { state in
            if state.hasGivenUp { return }
            state.early[offset] = (buffer, count)
            while let (buffer, count) = state.early.removeValue(forKey: state.next) {
                state.next += count
                queue.async { [self] in hasher.update(bufferPointer: buffer.bytes(count)) }
            }
        }
    }

    func giveUp() { state.withLock { $0 = State(next: 0, early: [:], hasGivenUp: true) } }

    /// The digest; nil if not all bytes were added.
    var digest: ContentDigest? {
        guard state.withLock({ !$0.hasGivenUp && $0.next == bytes }) else { return nil }
        return queue.sync { ContentDigest(hasher.finalize()) }
    }
}
