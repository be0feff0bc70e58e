import Support

/// The name of a ref as a directory: `/` is `%2F`, `%` is `%25`, and a name of dots alone begins with `%2E`.
enum RefDirectory {
    static func name(of ref: String) -> String {
        var name = ""
        for scalar in ref.unicodeScalars {
            switch scalar {
            case "%": name += "%25"
            case "/": name += "%2F"
            default: name.unicodeScalars.append(scalar)
            }
        }
        return name == "." || name == ".." ? "%2E" + name.dropFirst() : name
    }

    /// - Returns: nil for a name that no ref has.
    static func ref(_ name: String) -> String? {
        guard let ref = PercentEncoding.decode(name), Self.name(of: ref) == name else { return nil }
        return ref
    }
}
