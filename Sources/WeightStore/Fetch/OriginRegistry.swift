import Support

/// Makes the origins of URLs, by scheme.
final class OriginRegistry: Sendable {
    typealias Factory = @Sendable (_ url: String) throws -> any Origin

    private let factories: SharedTable<ByteText, Factory>
    /// The origins made so far, by URL, because an origin keeps its connections.
    private let made = SharedTable<ByteText, any Origin>()

    init() { factories = SharedTable(["file": { try DirectoryOrigin($0) }]) }

    func register(_ scheme: String, _ factory: @escaping Factory) {
        factories[ByteText(scheme)] = factory
        made.removeAll()
    }

    /// The schemes that are registered, sorted.
    var schemes: [String] { factories.keys.sorted().map(\.text) }

    /// Checks that a URL can be used as an origin, without connecting to it.
    ///
    /// - Throws: ``FetchError/unusable(url:reason:)``, which names the supported schemes.
    func check(_ url: String) throws -> String {
        guard let scheme = Self.scheme(url), factories[ByteText(scheme)] != nil else {
            throw unsupported(url)
        }
        guard !url.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else {
            throw FetchError.unusable(
                url: url, reason: "contains white space or control characters; percent-encode them")
        }
        _ = try origin(url)
        return url
    }

    /// The origin of a URL, made at its first use.
    ///
    /// - Throws: ``FetchError/unusable(url:reason:)`` for a scheme that is not registered, and errors of the factory.
    func origin(_ url: String) throws -> any Origin {
        if let known = made[ByteText(url)] { return known }
        guard let scheme = Self.scheme(url), let factory = factories[ByteText(scheme)] else {
            throw unsupported(url)
        }
        let origin = try factory(url)
        made[ByteText(url)] = origin
        return origin
    }

    private func unsupported(_ url: String) -> FetchError {
        let problem = Self.scheme(url).map { "unsupported origin scheme \"\($0)\"" } ?? "not a URL: it has no scheme"
        return .unusable(
            url: url, reason: "\(problem); supported: \(schemes.map { "\($0)://" }.joined(separator: ", "))")
    }

    private static func scheme(_ url: String) -> String? {
        url.utf8.firstIndex(of: UInt8(ascii: ":")).map { String(url[..<$0]) }
    }
}
