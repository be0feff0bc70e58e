import Files
import GRDB
import Storage

/// The part of the store that a collection compares with the catalog: everything, or the directories of `blobs/` that have
/// changed since a collection found them in order (`ExaminedDirectoryTable`).
///
/// A full collection also looks for rows that nothing references, and reads the size of every manifest and record. One is
/// due after a week, because file systems exist that lose changes of a directory's times, and because it is the check of
/// this rule itself. It is also due while blobs are kept that a rebuild could not assign, and in a store without an earlier
/// one.
struct SurveyScope {
    let isFull: Bool
    /// The names of the directories to compare.
    let directories: [String]
    /// Those of them that will be in order, if the comparison finds nothing.
    private let settled: [ExaminedDirectoryTable.Entry]
    private let start = StoreClock.now

    /// The longest time between two full collections, in seconds.
    static let fullSeconds = 7 * 86_400
    /// A directory that changed less than this many nanoseconds ago is compared again by the next collection: the clock of
    /// the file system is coarse, so another change may have the same time.
    private static let coarseNanoseconds: Int64 = 2_000_000_000

    /// - Parameter full: whether to compare everything, even if that is not due.
    init(_ catalog: Catalog, _ blobs: BlobDirectory, full: Bool) throws {
        let (isDue, inOrder) = try catalog.read { [start] db in
            let last = try ExaminedDirectoryTable.lastFullWalk(db)
            // A time in the future was set by a wrong clock.
            let isRecent = last.map { $0 <= start && start.subtracting(saturating: $0) < Self.fullSeconds } ?? false
            return try (!isRecent || RebuildLoss.exists(db), ExaminedDirectoryTable.inOrder(db))
        }
        isFull = full || isDue
        let now = StoreClock.nanoseconds
        var changed: [String] = []
        var settled: [ExaminedDirectoryTable.Entry] = []
        for name in BlobDirectory.fanOut {
            guard let status = try FileSystem.status("\(blobs.root)/\(name)") else {
                changed.append(name)
                continue
            }
            if !isFull, inOrder[name]?.isCurrent(status) ?? false { continue }
            changed.append(name)
            if status.isOlder(than: Self.coarseNanoseconds, at: now) { settled.append(.init(name: name, status)) }
        }
        directories = changed
        self.settled = settled
    }

    /// Call it before the comparison.
    func begin(_ catalog: Catalog) throws {
        if settled.isEmpty { return }
        try catalog.write { db in try ExaminedDirectoryTable.begin(settled, db) }
    }

    /// Records what the comparison has found in order.
    func finish(_ survey: BlobSurvey, _ catalog: Catalog) throws {
        // Others may have rows of an earlier comparison, with earlier times.
        let begun = Set(settled.map(\.name))
        let inOrder = survey.inOrder.filter(begun.contains)
        if inOrder.isEmpty, !isFull { return }
        try catalog.write { db in
            try ExaminedDirectoryTable.finish(inOrder, db)
            if isFull { try ExaminedDirectoryTable.recordFullWalk(at: start, db) }
        }
    }
}
