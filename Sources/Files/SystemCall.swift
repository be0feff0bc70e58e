import Glibc

/// Repeats a call that a signal interrupts, and turns -1 into an error that names `path`.
///
/// - Parameter limit: the number of interruptions that is an error. A call that waits for long may have any number of
///   them.
@discardableResult
package func retrying<Result: BinaryInteger>(
    _ operation: String, _ path: String, limit: Int = 1000, _ call: () -> Result
) throws(FileError) -> Result {
    var interruptions = 0
    while true {
        let result = call()
        if result != -1 { return result }
        let code = errno
        interruptions += 1
        guard code == EINTR, interruptions < limit else { throw .failed(operation, path, code) }
    }
}

/// Writes all of `bytes` to a descriptor that may be a pipe.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, name: String) throws(FileError) {
    var done = 0
    while done < bytes.count {
        done += try retrying("write", name) {
            write(descriptor, bytes.baseAddress! + done, min(bytes.count - done, 8 << 20))
        }
    }
}
