import Files
import Policies
import Storage

extension Store {
    /// All policies, sorted by name: the built-in ones, and the operator's in `policies/`, which replace built-in
    /// policies of the same name.
    public func policies() throws -> [Policy] {
        var found: [String: Policy] = [:]
        for policy in Policy.builtIn { found[policy.name] = policy }
        for file in try FileSystem.entries(path + "/policies") where file.hasSuffix(".sql") {
            let policy = try Policy(file: "\(path)/policies/\(file)")
            found[policy.name] = policy
        }
        return found.values.sorted { $0.name < $1.name }
    }

    /// The policy of that name.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func policy(_ name: String) throws -> Policy {
        guard let policy = try policies().first(where: { $0.name == name }) else {
            throw StorageError.notFound(kind: "policy", name: name)
        }
        return policy
    }
}
