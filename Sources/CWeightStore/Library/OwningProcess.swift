import Glibc
import Synchronization

/// The process that uses the library: the one that first opened a store. After a fork the child has its memory, but
/// neither its threads nor its locks nor its connections, and must leave all of it alone.
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
