import Support

/// The syntax of model names: `name` or `org/name`.
package enum ModelName {
    /// Returns the name if it is valid; throws ``StorageError/invalid(what:value:reason:)`` otherwise.
    package static func check(_ name: String) throws(StorageError) -> String {
        func refuse(_ reason: String) -> StorageError { .invalid(what: "model name", value: name, reason: reason) }
        let parts = name.byteParts("/")
        guard parts.count <= 2 else { throw refuse("must contain at most one \"/\", as in org/name") }
        guard name.utf8.count <= 200 else { throw refuse("must have at most 200 bytes") }
        for part in parts {
            guard !part.isEmpty, part.isASCIIWord(and: "._-"), !part.hasBytePrefix("."), !part.hasBytePrefix("-") else {
                throw refuse(
                    "each part must have 1 or more letters, digits, \".\", \"_\" and \"-\", and not begin with \".\" or \"-\""
                )
            }
        }
        return name
    }
}

/// The syntax of refs. A new ref has a subset of git's (`check`). Older versions accepted more: a ref that a store or a
/// bucket holds keeps its name (`checkStored`), by which it is read, mounted, followed and replicated.
package enum RefName {
    /// Returns the name if a new ref can have it; throws ``StorageError/invalid(what:value:reason:)`` otherwise.
    package static func check(_ name: String) throws(StorageError) -> String {
        let isPath = try checkStored(name).byteParts("/").allSatisfy { part in
            !part.isEmpty && !part.hasBytePrefix(".") && !part.hasByteSuffix(".") && !part.hasByteSuffix(".lock")
        }
        guard isPath, !name.contains("..") else {
            throw refusal(
                of: name,
                "each part between \"/\" must have 1 or more characters, not begin or end with \".\", and not end with "
                    + "\".lock\"; \"..\" is not allowed")
        }
        return name
    }

    /// Returns the name if a stored ref can have it; throws ``StorageError/invalid(what:value:reason:)`` otherwise.
    package static func checkStored(_ name: String) throws(StorageError) -> String {
        guard !name.isEmpty, name.utf8.count <= 200,
            name.unicodeScalars.allSatisfy({
                $0.value > 0x20 && $0.value < 0x7F && !"@~^:?*[\\".unicodeScalars.contains($0)
            })
        else { throw refusal(of: name, "must have 1 to 200 ASCII characters; spaces and @~^:?*[\\ are not allowed") }
        guard !CommitName.isValid(name) else {
            throw refusal(of: name, "must not be 40 hexadecimal digits, which name a commit")
        }
        return name
    }

    private static func refusal(of name: String, _ reason: String) -> StorageError {
        .invalid(what: "ref", value: name, reason: reason)
    }
}

/// A version of a model: `~3`, which no ref can be, or `v3`, which a ref may be, too.
package enum VersionName {
    /// The name that is shown, because no ref can have it: `~3`.
    package static func text(_ version: Int) -> String { "~\(version)" }

    /// The number in a name such as `~3`; nil for any other name.
    static func parseExact(_ name: String) -> Int? { number(name, after: "~") }

    /// The number in a name such as `v3`; nil for any other name.
    static func parse(_ name: String) -> Int? { number(name, after: "v") }

    private static func number(_ name: String, after prefix: String) -> Int? {
        guard let digits = name.dropping(bytePrefix: prefix), !digits.hasBytePrefix("0") else { return nil }
        return Int(decimal: digits)
    }
}

/// A commit of the hub: 40 lower-case hexadecimal digits.
package enum CommitName {
    package static func isValid(_ name: String) -> Bool {
        name.utf8.count == 40
            && name.utf8.allSatisfy { byte in
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "f") ~= byte
            }
    }
}

/// The name of a revision in messages: `org/name@~3`, or `org/name@<digest>` without a version.
package enum RevisionName {
    package static func text(_ model: String, version: Int?, digest: ContentDigest) -> String {
        "\(model)@\(version.map(VersionName.text) ?? digest.short)"
    }

    /// The model in the name of a revision or a ref.
    package static func model(of name: String) -> String {
        String(name[..<(name.utf8.firstIndex(of: UInt8(ascii: "@")) ?? name.endIndex)])
    }
}

/// A path of a file in a revision: it stays inside of the directory that it is exported to.
package enum RelativePath {
    /// Whether a path is relative, without `.`, `..`, empty parts and NUL, and shorter than 4096 bytes. It is split by
    /// byte: a `Character` may join a slash and what follows it.
    package static func isValid(_ path: String) -> Bool {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isPlain = parts.allSatisfy { part in
            !part.isEmpty && !part.elementsEqual(".".utf8) && !part.elementsEqual("..".utf8)
        }
        return isPlain && !path.utf8.contains(0) && path.utf8.count < 4096
    }
}
