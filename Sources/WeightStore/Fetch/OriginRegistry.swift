import Synchronization

/// The kinds of origins that a process can use, by the schemes of their URLs.
final class OriginRegistry: Sendable {
    typealias Make = @Sendable (String) throws -> any Origin

    private struct State {
        var kinds: [String: Make] = [:]
        /// One for each URL: it keeps connections.
        var made: [String: any Origin] = [:]
    }

    private let state = Mutex(State())

    func register(scheme: String, _ make: @escaping Make) { state.withLock { $0.kinds[scheme] = make } }

    func origin(_ url: String) throws -> any Origin {
        let scheme = String(url.prefix { $0 != ":" })
        if let known = state.withLock({ $0.made[url] }) { return known }
        guard let make = state.withLock({ $0.kinds[scheme] }) else {
            throw FetchError.unusable(url: url, reason: "no kind of origin is known for \(scheme):")
        }
        let made = try make(url)
        return state.withLock { state in
            let origin = state.made[url] ?? made
            state.made[url] = origin
            return origin
        }
    }
}

extension Store {
    /// Lets the store fetch from URLs of a scheme.
    ///
    ///     store.register(scheme: "s3") { url in try S3Origin(url) }
    public func register(scheme: String, _ make: @escaping @Sendable (_ url: String) throws -> any Origin) {
        origins.register(scheme: scheme, make)
    }
}
