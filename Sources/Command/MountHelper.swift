import ArgumentParser
import Support

/// `mount.weightstore`, which mount(8) runs for the type `weightstore` in /etc/fstab: a symbolic link to the tool, whose
/// arguments become those of "weightstore mount".
enum MountHelper {
    static let name = "mount.weightstore"

    /// Options of mount(8) and of systemd, which mean nothing here.
    private static let ignored: Set<ByteText> = [
        "ro", "rw", "defaults", "auto", "noauto", "user", "users", "nouser", "owner", "group", "nofail", "_netdev",
        "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "relatime", "strictatime", "async",
    ]

    /// The options that have an argument, by their names in /etc/fstab.
    private static let named: [ByteText: String] = [
        "revision": "--model", "upstream": "--upstream", "log": "--log", "timeout": "--timeout",
        "revalidate": "--revalidate",
    ]

    /// The arguments of the tool for those of mount(8): `store directory [-sfnv] [-o options]`.
    ///
    /// - Returns: nil if nothing is to be mounted (`-f`).
    /// - Throws: `ValidationError`.
    static func arguments(_ given: [String]) throws -> [String]? {
        var places: [String] = []
        var result: [String] = []
        var models: [String] = []
        var rest = given[...]
        while let word = rest.popFirst() {
            switch word {
            case "-f": return nil
            case "-o":
                guard let options = rest.popFirst() else { throw ValidationError("-o: the options are missing") }
                for option in options.byteParts(",") where !option.isEmpty {
                    try add(option, to: &result, &models)
                }
            case "-t", "-N": _ = rest.popFirst()
            case _ where word.hasBytePrefix("-"): continue
            default: places.append(word)
            }
        }
        guard places.count == 2 else {
            throw ValidationError("\(name): a store and a directory are needed, and -o with options")
        }
        return ["mount", "--detach", "--store", places[0]] + result + ["--", places[1]] + models
    }

    private static func add(_ option: String, to result: inout [String], _ models: inout [String]) throws {
        let parts = option.byteParts("=", maxSplits: 1)
        if ignored.contains(ByteText(option)) || option.hasBytePrefix("x-") || parts[0] == "comment" { return }
        if option == "allow_other" { return result.append("--allow-other") }
        guard parts.count == 2 else {
            throw ValidationError("\(name): unknown option \(option); \"weightstore mount --help\" lists them")
        }
        if parts[0] == "model" { return models.append(parts[1]) }
        guard let flag = named[ByteText(parts[0])] else {
            throw ValidationError("\(name): unknown option \(option); \"weightstore mount --help\" lists them")
        }
        result += [flag, parts[1]]
    }
}
