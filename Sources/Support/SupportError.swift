import Glibc

/// Errors of the threads and buffers that every module uses.
public enum SupportError: Error, Sendable, Equatable {
    /// The system cannot start another thread; `code` is the `errno` of `pthread_create`.
    case noThread(code: Int32)
}

extension SupportError: CustomStringConvertible {
    /// The failure and its cause, as one sentence.
    public var description: String {
        switch self {
        case .noThread(let code): "cannot start another thread: \(String(cString: strerror(code)))."
        }
    }
}
