import Synchronization

extension Store {
    /// Checks that a URL can be used as an origin, without connecting to it.
    ///
    /// - Returns: the URL.
    /// - Throws: ``FetchError/unusable(url:reason:)``, which names the supported schemes.
    @discardableResult
    public func checkOrigin(_ url: String) throws -> String { try origins.check(url) }

    /// Registers a factory of origins for a URL scheme, such as `https` or `s3`. `file` is registered already.
    ///
    /// - Parameters:
    ///   - scheme: the scheme of the URL, in lower case.
    ///   - factory: makes the origin for a URL, which is the URL of the catalog.
    public func register(scheme: String, _ factory: @escaping @Sendable (_ url: String) throws -> any Origin) {
        origins.register(scheme, factory)
    }
}

extension Store {
    /// Sets the source of origins that are tried before the models' own, such as peers; nil removes it.
    public func setNearerOrigins(_ nearer: (any NearerOrigins)?) { self.nearer.value = nearer }
}
