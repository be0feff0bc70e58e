/// What can go wrong with a policy.
public enum PolicyError: Error, Sendable, Equatable {
    /// A policy that is not one read-only SELECT over `candidate`, or that SQLite refuses; `message` is SQLite's.
    case refused(policy: String, line: Int, message: String)
    /// A policy that took longer than its limit.
    case tooSlow(policy: String, seconds: Double)
}

extension PolicyError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let policy, let line, let message): "policy \(policy), line \(line): \(message)."
        case .tooSlow(let policy, let seconds): "policy \(policy): not done within \(seconds) s."
        }
    }
}
