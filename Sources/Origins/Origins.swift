import WeightStore

/// Registers the origins of this module.
public enum Origins {
    /// Registers hubs (`https:`, `http:`), object stores (`s3:`) and peers (`peer+https:`, `peer+http:`) as origins of
    /// a store.
    public static func register(in store: Store, options: TransportOptions = TransportOptions()) {
        for scheme in ["https", "http"] {
            store.register(scheme: scheme) { url in try HubOrigin(url, options: options) }
            store.register(scheme: "peer+" + scheme) { url in try PeerOrigin(url, options: options) }
        }
        store.register(scheme: "s3") { url in try S3Origin(url, options: options) }
    }
}
