import Files
import Policies
import Storage
import Support

extension Store {
    /// All policies, sorted by name: the built-in ones, and the operator's in `policies/`, which replace built-in
    /// policies of the same name.
    public func policies() throws -> [Policy] {
        var found: [ByteText: Policy] = [:]
        for policy in Policy.builtIn { found[ByteText(policy.name)] = policy }
        for file in try FileSystem.entries(path + "/policies") where file.hasByteSuffix(".sql") {
            // It may be removed meanwhile.
            guard let policy = try Policy.stored("\(path)/policies/\(file)") else { continue }
            found[ByteText(policy.name)] = policy
        }
        return found.sorted { $0.key < $1.key }.map(\.value)
    }

    /// The policy of that name.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func policy(_ name: String) throws -> Policy {
        guard let policy = try policies().first(where: { ByteText($0.name) == ByteText(name) }) else {
            throw StorageError.notFound(kind: "policy", name: name)
        }
        return policy
    }
}
