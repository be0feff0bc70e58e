import TestSupport

extension ChildProcess {
    /// Copies a directory in place of what is there.
    static func copy(_ old: String, to new: String) throws {
        try check("rm", "-rf", new)
        try check("cp", "-a", old, new)
    }
}
