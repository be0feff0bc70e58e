/// The residency of a layer in a tier. All sizes are bytes of its whole shards: experts that are resident without the
/// rest of the tensor that stacks them do not count.
public struct LayerResidency: Sendable, Encodable {
    /// The number of the layer.
    public let layer: Int
    /// The total size.
    public let bytes: Int
    /// The size of the resident shards.
    public let resident: Int
    /// The size of the loading shards.
    public let loading: Int
}
