import GRDB

/// A use of a revision: a line in this process's lease file as long as the value exists.
package final class RevisionHold: Sendable {
    private let use: LeaseDirectory.Use
    private let leases: LeaseDirectory

    package var model: String { use.model }
    /// Whether other processes know the use.
    package var isLeased: Bool { leases.isWritten }

    package init(_ use: LeaseDirectory.Use, in leases: LeaseDirectory) {
        self.use = use
        self.leases = leases
    }

    deinit {
        // If this fails, the use stays until the process ends.
        try? leases.release(use)
    }
}
