import WeightStore

/// All kinds of origins of this module.
public enum Origins {
    /// Lets a store fetch from hubs (`https:`, `http:`).
    public static func register(in store: Store, options: TransportOptions = TransportOptions()) {
        for scheme in ["https", "http"] {
            store.register(scheme: scheme) { url in try HubOrigin(url, options: options) }
        }
    }
}
