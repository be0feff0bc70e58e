import Files
import Glibc

/// A copy of the caller's descriptor of an eventfd, closed with the value.
final class EventDescriptor: Sendable {
    private let raw: Int32

    init(copying descriptor: Int32) throws(CallError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .argument("event \(descriptor): cannot be copied: \(FileError.text(of: errno))") }
        raw = copy
    }

    deinit { close(raw) }

    /// Adds 1 to the counter.
    func signal() {
        withUnsafeBytes(of: 1 as UInt64) { one in
            // A counter that is full can be read, which is all that the caller waits for.
            _ = try? retrying("write", "eventfd") { write(raw, one.baseAddress, one.count) }
        }
    }
}
