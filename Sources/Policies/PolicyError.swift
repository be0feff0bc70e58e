/// Errors of eviction policies.
public enum PolicyError: Error, Sendable, Equatable {
    /// A policy is not one read-only SELECT over `candidate`, or SQLite reports an error; `message` has the reason.
    case refused(policy: String, line: Int, message: String)
    /// A policy exceeded its time limit.
    case tooSlow(policy: String, seconds: Double)
}

extension PolicyError: CustomStringConvertible {
    /// The policy, the line and the reason.
    public var description: String {
        switch self {
        case .refused(let policy, let line, let message): "policy \(policy), line \(line): \(message)."
        case .tooSlow(let policy, let seconds):
            "policy \(policy): exceeded the time limit of \(seconds) s. Simplify its SQL."
        }
    }
}
