import Synchronization

extension Store {
    /// Checks that a URL can be used as an origin, without reaching it.
    ///
    /// - Returns: the URL.
    /// - Throws: ``FetchError/unusable(url:reason:)``, which names the supported schemes.
    @discardableResult
    public func checkOrigin(_ url: String) throws -> String { try origins.check(url) }

    /// Says how the origins of a scheme (`https`, `s3`) are reached. `file` is known.
    ///
    /// - Parameter maker: makes the origin of a URL, as it stands in the catalog.
    public func register(scheme: String, _ maker: @escaping @Sendable (_ url: String) throws -> any Origin) {
        origins.register(scheme, maker)
    }
}

extension Store {
    /// Sets the origins that are tried before the models' own; nil for none.
    public func ask(_ nearer: (any NearerOrigins)?) { self.nearer.value = nearer }
}
