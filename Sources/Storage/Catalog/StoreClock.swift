import Glibc

/// The clock of the catalog's times.
package enum StoreClock {
    /// Seconds since 1970.
    package static var now: Int { time(nil) }

    /// Nanoseconds since 1970.
    package static var nanoseconds: Int64 {
        var moment = timespec()
        clock_gettime(CLOCK_REALTIME, &moment)
        return Int64(moment.tv_sec) * 1_000_000_000 + Int64(moment.tv_nsec)
    }
}

extension StoreClock {
    /// A monotonic time in nanoseconds, with a resolution of a few milliseconds; read without entering the kernel.
    package static var coarse: Int64 {
        var moment = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &moment)
        return Int64(moment.tv_sec) * 1_000_000_000 + Int64(moment.tv_nsec)
    }
}
