import Glibc

/// How `heat` fades.
package enum Heat {
    /// Seconds until half of a use is left.
    package static let halfLife = 86_400.0

    package static func faded(_ heat: Double, seconds: Double) -> Double { heat * pow(0.5, max(seconds, 0) / halfLife) }
}
