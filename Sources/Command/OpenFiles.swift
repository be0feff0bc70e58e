import Glibc

/// How many files this process may have open.
enum OpenFiles {
    /// Raises the limit as far as it goes without being root. The corresponding C function is `setrlimit`.
    ///
    /// - Returns: the limit.
    static func raiseLimit() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        // If it can't be raised, the old one holds.
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit.rlim_cur > 1 << 20 ? 1 << 20 : Int(limit.rlim_cur)
    }
}
