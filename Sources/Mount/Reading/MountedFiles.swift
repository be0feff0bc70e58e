import Support
import Synchronization
import WeightStore

/// The open files, by the handles that the kernel has.
final class MountedFiles: Sendable {
    /// One open file description.
    final class Handle: Sendable {
        let file: OpenFile
        private let stream = Mutex(ReadStream())

        init(_ file: OpenFile) { self.file = file }

        /// The end of the requests so far.
        var position: Int { stream.withLock { $0.end } }

        /// Notes a request.
        ///
        /// - Returns: the range to read ahead now.
        func advance(_ request: Range<Int>) -> Range<Int>? {
            stream.withLock { $0.advance(request, of: file.entry.bytes) }
        }
    }

    private struct Weak<Value: AnyObject> {
        weak var value: Value?
    }

    private struct State {
        var handles: [UInt64: Handle] = [:]
        var last: UInt64 = 0
        var files: [MountFile: Weak<OpenFile>] = [:]
        var revisions: [ByteText: Weak<Revision>] = [:]
    }

    private let store: Store
    private let state = Mutex(State())

    init(_ store: Store) { self.store = store }

    /// Opens a file, and holds its revision until the last handle of a file of it is closed. Blocks while another process
    /// removes models.
    ///
    /// - Returns: the handle's number; nil if the name means other bytes by now.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, errors of the catalog, `CancellationError`.
    func open(_ file: MountFile, _ work: Work) throws -> UInt64? {
        if let shared = state.withLock({ $0.files[file]?.value }) { return add(shared) }
        let revision = try revision(file.revision.name, work)
        guard let entry = try revision.entry(file.path.text), entry.digest == file.digest, entry.bytes == file.bytes
        else { return nil }
        let opened = OpenFile(entry, of: revision)
        let shared = state.withLock { state in
            if let other = state.files[file]?.value { return other }
            state.files[file] = Weak(value: opened)
            return opened
        }
        return add(shared)
    }

    private func revision(_ name: ByteText, _ work: Work) throws -> Revision {
        if let held = state.withLock({ $0.revisions[name]?.value }) { return held }
        let revision = try store.revision(name.text, work: work)
        state.withLock { $0.revisions[name] = Weak(value: revision) }
        return revision
    }

    private func add(_ file: OpenFile) -> UInt64 {
        let handle = Handle(file)
        return state.withLock { state in
            state.last += 1
            state.handles[state.last] = handle
            return state.last
        }
    }

    func handle(_ number: UInt64) -> Handle? { state.withLock { $0.handles[number] } }

    /// Closes a handle. Blocks if it was the last one of its revision, which is then released.
    func close(_ number: UInt64) {
        // Released outside of the lock: the end of a revision's use writes the lease file.
        let handle = state.withLock { $0.handles.removeValue(forKey: number) }
        guard handle != nil else { return }
        withExtendedLifetime(handle) {}
        clean()
    }

    private func clean() {
        state.withLock { state in
            if state.files.count > 2 * state.handles.count + 16 {
                state.files = state.files.filter { $0.value.value != nil }
                state.revisions = state.revisions.filter { $0.value.value != nil }
            }
        }
    }
}
