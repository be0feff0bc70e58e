import TestSupport

extension ChildProcess {
    /// Copies a directory, and replaces the destination.
    static func copy(_ old: String, to new: String) throws {
        try check("rm", "-rf", new)
        try check("cp", "-a", old, new)
    }
}
