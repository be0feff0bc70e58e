import Glibc

/// The limit of open files of this process.
package enum OpenFiles {
    /// The limit in force, at most 2²⁰. Its first use raises the soft limit to the hard limit. The corresponding C function
    /// is `setrlimit`.
    package static let limit: Int = {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        // On failure the old limit stays in force.
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit.rlim_cur > 1 << 20 ? 1 << 20 : Int(limit.rlim_cur)
    }()

    /// The limit that suffices for all calls together. The usual soft limit.
    private static let usual = 1024

    /// Requires a limit.
    ///
    /// - Parameters:
    ///   - needed: the number of files that a call may have open, with those of the rest of the process.
    ///   - path: for the error.
    /// - Throws: ``FileError/openFileLimit(path:limit:needed:)``.
    package static func require(_ needed: Int, for path: String) throws(FileError) {
        if limit < needed { throw .openFileLimit(path: path, limit: limit, needed: needed) }
    }

    /// The error of a path that could not be opened because the limit is reached.
    static func tooFew(_ path: String) -> FileError {
        .openFileLimit(path: path, limit: limit, needed: max(usual, 2 * limit))
    }
}
