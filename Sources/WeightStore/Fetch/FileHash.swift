import Crypto
import Dispatch
import Storage
import Support
import Synchronization

/// The SHA-256 of a whole file whose bytes come in pieces, in nearly the right order.
///
/// Those that come early wait in their buffers. Where a piece will never come (it is here already, or somebody else
/// fetches it), the value gives up, and the file is read again when it is complete.
///
/// Sendable because its state is behind the mutex, and the hasher is touched on `queue` alone.
final class FileHash: @unchecked Sendable {
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

    /// The digest, if all bytes have passed.
    var digest: ContentDigest? {
        guard state.withLock({ !$0.hasGivenUp && $0.next == bytes }) else { return nil }
        return queue.sync { ContentDigest(hasher.finalize()) }
    }
}
