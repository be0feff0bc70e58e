import Storage

/// The versions of a model and the layers of the newest one, for a page about the model.
package struct ModelReport: Sendable {
    /// A version, compared with the one before it.
    package struct Version: Sendable {
        package let revision: RevisionInfo
        /// Bytes of shards that the version before lacks; nil for the first version.
        package let added: Int?
        /// Bytes of shards of the version before that this one lacks; nil for the first version.
        package let dropped: Int?
    }

    /// A layer of the newest version.
    package struct Layer: Sendable {
        package let shards: LayerShards
        /// Bytes that are resident in tiers of this process, by the name of the tier.
        package var resident: [String: Int] = [:]
    }

    /// The newest versions, the newest first; one that is not complete is before them.
    package let versions: [Version]
    /// The number of older versions.
    package let older: Int
    /// The layers of the newest version, then what is outside layers.
    package let layers: [Layer]
    /// Stored bytes of the model that other models have, too.
    package let shared: Int
}
