import Files
import Foundation
import Glibc
import Support

/// The statistics of living processes: `leases/.<lease>.json`, a `ProcessStatistics` as JSON.
///
/// The file is replaced by a rename, so a reader never sees half of one; it is not synced. It belongs to a living process as
/// long as the lease does. Its name begins with a dot, so that it is no lease file.
extension LeaseDirectory {
    private static let suffix = ".json"
    /// The most bytes that are read.
    private static let mostBytes = 16 << 20

    func statisticsPath(of lease: String) -> String { "\(path)/.\(lease)\(Self.suffix)" }

    /// Replaces the statistics of this process. Does nothing if the store can only be read.
    package func write(_ statistics: ProcessStatistics) throws {
        guard isWritten else { return }
        let target = statisticsPath(of: name)
        let bytes = Array(try JSONEncoder().encode(statistics))
        // Never through a link that another user of the store has made.
        _ = try FileSystem.remove(target + ".new")
        let file = try StoreFile.open(target + ".new", O_WRONLY | O_EXCL)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
        try FileSystem.rename(target + ".new", to: target)
    }

    /// Whether this process has written statistics that nothing has removed since.
    package var hasStatistics: Bool { FileSystem.exists(statisticsPath(of: name)) }

    /// The statistics of a process.
    ///
    /// - Returns: nil if it has none yet, or they cannot be read: those of a newer program, or of another user; or if their
    ///   numbers and texts are none that a process writes.
    package func statistics(of lease: String) -> ProcessStatistics? {
        // Statistics are not worth an error: the list of processes is complete without them.
        guard let file = try? FileDescriptor.openRegularIfPresent(statisticsPath(of: lease)),
            let bytes = try? file.readAll(limit: Self.mostBytes),
            let statistics = try? JSONDecoder().decode(ProcessStatistics.self, from: Data(bytes)),
            statistics.isPlausible
        else { return nil }
        return statistics
    }

    /// Removes the statistics of dead processes.
    ///
    /// - Parameters:
    ///   - entries: the names in the directory.
    ///   - holders: the living processes.
    func removeStatistics(_ entries: [String], except holders: [Holder]) {
        if access.isReadOnly { return }
        let living = holders.map { ".\($0.lease)\(Self.suffix)" }
        for entry in entries where entry.hasBytePrefix(".") && entry.utf8.contains(UInt8(ascii: "-")) {
            if living.contains(where: { entry.hasBytePrefix($0) }) { continue }
            // Another user's file may stay: only its owner, or the directory's, can remove it.
            _ = try? FileSystem.remove("\(path)/\(entry)")
        }
    }
}
