import Foundation

/// How far a test goes that tries a few of many points: moments, system calls, random steps.
package enum Sweep {
    /// `WEIGHTSTORE_TEST_POINTS`, by which the number of points is multiplied; `Tests/full` sets it.
    package static let factor = min(
        max(ProcessInfo.processInfo.environment["WEIGHTSTORE_TEST_POINTS"].flatMap { Int($0) } ?? 1, 1), 1_000)

    /// Whether kinds of points are tried that find little more than the others.
    package static var isFull: Bool { factor > 1 }
}
