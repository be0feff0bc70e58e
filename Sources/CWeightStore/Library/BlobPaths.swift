import Synchronization
import WeightStore

/// The paths of blobs in C's form, valid as long as the value lives.
final class BlobPaths: Sendable {
    private struct State {
        let memory = CMemory()
        /// The addresses of the strings.
        var known: [ContentDigest: UInt] = [:]
    }

    private let state = Mutex(State())

    func string(_ path: String, of digest: ContentDigest) -> UnsafePointer<CChar>? {
        let address = state.withLock { state -> UInt in
            if let known = state.known[digest] { return known }
            let made = UInt(bitPattern: state.memory.string(path))
            state.known[digest] = made
            return made
        }
        return UnsafePointer(bitPattern: address)
    }
}
