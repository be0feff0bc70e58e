import Glibc

/// The processors of this machine.
package enum Processors {
    /// The number of processors online. The corresponding C function is `sysconf`.
    package static let count = sysconf(Int32(_SC_NPROCESSORS_ONLN))
}
