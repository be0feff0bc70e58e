import Foundation

/// A Python with huggingface_hub; `Tests/run` creates one.
package enum HubPython {
    /// The interpreter, if it exists.
    package static let path = ProcessInfo.processInfo.environment["WEIGHTSTORE_HUB_PYTHON"]
    /// Removes the variables that make a client use a proxy.
    package static let withoutProxies = Dictionary(
        uniqueKeysWithValues: ProcessInfo.processInfo.environment.keys
            .filter { $0.lowercased().hasSuffix("_proxy") }.map { ($0, String?.none) })
}
