import GRDB

/// A use of a revision, noted in this process's lease file as long as the value lives.
package final class RevisionHold: Sendable {
    private let use: LeaseDirectory.Use
    private let leases: LeaseDirectory

    package var model: String { use.model }

    package init(_ use: LeaseDirectory.Use, in leases: LeaseDirectory) {
        self.use = use
        self.leases = leases
    }

    deinit {
        // The worst that can happen is a use that stays until the process ends.
        try? leases.release(use)
    }
}
