import Glibc
import Synchronization

/// The process that first opened a store. After a fork the child has a copy of its memory, but not its threads, locks
/// and connections, and must not use the library.
enum OwningProcess {
    private static let identifier = Atomic<pid_t>(0)

    static func claim() { _ = identifier.compareExchange(expected: 0, desired: getpid(), ordering: .relaxed) }

    static var isAnother: Bool {
        let owner = identifier.load(ordering: .relaxed)
        return owner != 0 && owner != getpid()
    }

    static func check() throws(CallError) {
        if isAnother { throw .forked(identifier.load(ordering: .relaxed)) }
    }
}
