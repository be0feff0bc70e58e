import Glibc

/// The exponential decay of `heat`.
package enum Heat {
    /// The time after which a use counts half, in seconds.
    package static let halfLife = 86_400.0

    /// The heat after some time, in seconds, without a use.
    package static func decayed(_ heat: Double, seconds: Double) -> Double {
        heat * pow(0.5, max(seconds, 0) / halfLife)
    }
}
