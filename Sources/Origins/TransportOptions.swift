import Foundation
import WeightStore
import WireFormats

/// Time limits, retries and security of an origin's connections.
public struct TransportOptions: Sendable {
    /// Seconds without a byte after which a request is abandoned and repeated.
    public var idleSeconds = 30.0
    /// Seconds to establish a connection.
    public var connectSeconds = 10.0
    /// The number of consecutive attempts without progress after which a request fails.
    public var attempts = 7
    /// The upper limit of the first wait, which doubles with each further wait.
    public var firstDelaySeconds = 0.5
    /// The upper limit of all waits between attempts.
    public var maximumDelaySeconds = 30.0
    /// The longest wait that a server may request (Retry-After); a request that would have to wait longer fails.
    public var maximumRetryAfterSeconds = 300.0
    /// Seconds after the first attempt at which a request is no longer repeated, whether or not it received bytes.
    public var maximumRetrySeconds = 600.0
    /// The most connections to one host. More than the callers use at a time: requests that stall must not keep those of
    /// other files from connecting.
    var connectionsPerHost = 512
    /// Seconds of a request before its rate is checked.
    var rateCheckSeconds = 10.0
    /// A request slower than this many bytes per second after its first ten seconds is abandoned as stalled; 0 for no
    /// limit.
    public var minimumBytesPerSecond = 0
    /// Whether secrets and weights may be sent unencrypted to other machines. Set by `WEIGHTSTORE_INSECURE=1`.
    public var allowsPlainHTTP = ProcessInfo.processInfo.environment["WEIGHTSTORE_INSECURE"] == "1"
    /// The authorities whose certificates are trusted.
    public var trust = TrustRoots.standard
    /// The proxies through which servers are reached.
    public var proxies = ProxySettings.standard
    /// The limit for all requests of the origin together; nil for no limit.
    public var bytesPerSecond: Int?

    /// The default options.
    public init() {}

    /// Checks an address to which credentials are sent. Plain HTTP shows them, and the weights, to every machine in
    /// between.
    ///
    /// - Throws: ``FetchError/unusable(url:reason:)`` for plain HTTP to another machine, unless it is allowed.
    package func check(_ address: Address, for url: String) throws {
        guard address.scheme == "https" || address.isLoopback || allowsPlainHTTP else {
            throw FetchError.unusable(
                url: url,
                reason:
                    "plain http to another machine sends credentials unencrypted; use https, or allow it (WEIGHTSTORE_INSECURE=1)"
            )
        }
    }

    /// Seconds to wait before the next attempt: exponential backoff with full jitter, so that clients that failed
    /// together do not retry together.
    ///
    /// - Parameter failures: number of consecutive failed attempts, 1 or more.
    func delay(after failures: Int) -> Double {
        let limit = min(firstDelaySeconds * Double(1 << min(failures - 1, 20)), maximumDelaySeconds)
        return Double.random(in: 0...max(limit, 0))
    }
}
