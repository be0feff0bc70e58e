import Foundation

/// A Python that has huggingface_hub; `Tests/run` makes one.
package enum HubPython {
    /// The interpreter, if it is there.
    package static let path = ProcessInfo.processInfo.environment["WEIGHTSTORE_HUB_PYTHON"]
}
