import Foundation
import WeightStore

/// How an origin behaves on the network.
public struct TransportOptions: Sendable {
    /// Seconds without a byte after which a request is given up, and made again.
    public var idleSeconds = 30.0
    public var connectSeconds = 10.0
    /// Attempts in a row that bring nothing.
    public var attempts = 7
    /// The first wait is up to this long; each next one up to twice as long as the one before.
    public var firstDelaySeconds = 0.5
    public var longestDelaySeconds = 30.0
    /// A server that wants more patience than this (Retry-After) is given up.
    public var longestRetryAfterSeconds = 300.0
    /// Bytes per second, after ten seconds of a request, below which it is given up as stalled; 0 lets it crawl.
    public var leastBytesPerSecond = 0
    /// Whether secrets and weights may travel unencrypted to other machines.
    public var allowsPlainHTTP = ProcessInfo.processInfo.environment["WEIGHTSTORE_INSECURE"] == "1"
    /// Whose certificates are believed.
    public var trust = Trust.standard
    /// What all requests of the origin together may take.
    public var bytesPerSecond: Int?

    public init() {}

    /// - Throws: ``FetchError/unusable(url:reason:)`` for plain HTTP to another machine, unless it is allowed.
    package func check(_ address: Address, for url: String) throws {
        guard address.scheme == "https" || address.isLoopback || allowsPlainHTTP else {
            throw FetchError.unusable(
                url: url,
                reason:
                    "plain http to another machine can be read on the way: use https, or allow it (WEIGHTSTORE_INSECURE=1)"
            )
        }
    }

    /// How long to wait before the next attempt: exponential backoff with full jitter, so that clients that failed
    /// together don't come back together.
    ///
    /// - Parameter failures: attempts in a row that have failed, 1 or more.
    func delay(after failures: Int) -> Double {
        let limit = min(firstDelaySeconds * Double(1 << min(failures - 1, 20)), longestDelaySeconds)
        return Double.random(in: 0...max(limit, 0))
    }
}
