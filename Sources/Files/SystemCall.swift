import Glibc

/// Repeats a call that a signal interrupts, and turns -1 into an error that names `path`.
@discardableResult
package func retrying<Result: BinaryInteger>(
    _ operation: String, _ path: String, _ call: () -> Result
) throws(FileError) -> Result {
    while true {
        let result = call()
        if result != -1 { return result }
        switch errno {
        case EINTR: continue
        case ENOSPC, EDQUOT: throw .diskFull(path: path)
        default: throw .system(operation: operation, path: path, code: errno)
        }
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
