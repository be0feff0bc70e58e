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
}
