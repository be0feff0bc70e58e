import Glibc

/// What can go wrong in the threads and buffers that every module uses.
public enum SupportError: Error, Sendable, Equatable {
    /// The system starts no more threads; `code` is the `errno` of `pthread_create`.
    case noThread(code: Int32)
}

extension SupportError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noThread(let code): "no further thread can be started: \(String(cString: strerror(code)))."
        }
    }
}
