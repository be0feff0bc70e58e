import Glibc

/// The limit of open files of this process.
enum OpenFiles {
    /// Raises the soft limit to the hard limit. The corresponding C function is `setrlimit`.
    ///
    /// - Returns: the limit in force, at most 2²⁰.
    static func raiseLimit() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        // On failure the old limit stays in force.
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit.rlim_cur > 1 << 20 ? 1 << 20 : Int(limit.rlim_cur)
    }
}
