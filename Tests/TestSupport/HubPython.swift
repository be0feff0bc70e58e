import Foundation

/// A Python that has huggingface_hub; `Tests/run` makes one.
package enum HubPython {
    /// The interpreter, if it is there.
    package static let path = ProcessInfo.processInfo.environment["WEIGHTSTORE_HUB_PYTHON"]
    /// Takes the variables away by which a client would go through a proxy.
    package static let withoutProxies = Dictionary(
        uniqueKeysWithValues: ProcessInfo.processInfo.environment.keys
            .filter { $0.lowercased().hasSuffix("_proxy") }.map { ($0, String?.none) })
}
