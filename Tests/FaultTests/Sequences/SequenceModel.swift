import Storage
import TestSupport

/// The in-memory model of a sequence: the expected contents of the catalog, and the bytes that must be readable.
///
/// It does not know how the store works. It knows what a command may change, and which deletions are allowed: bytes that
/// no listed revision holds, and bytes that every holder can fetch again.
struct SequenceModel {
    typealias Key = CatalogListing.Key

    /// A revision and one of its origins.
    struct Pair: Hashable {
        var revision: Key
        var url: String
    }

    /// A file that a move has removed from a directory.
    struct MovedFile: Hashable {
        var model: String
        var path: String
        var digest: ContentDigest
    }

    /// An interrupted move.
    struct Move: Hashable {
        var place: Int
        var model: String
    }

    /// The prefix of a directory's number in the URL of an origin.
    let urlPrefix: String
    /// The contents of the catalog.
    var listing = CatalogListing()
    /// Its contents before an older catalog was restored; nil if the catalog is not older.
    var newest: CatalogListing?
    /// Whether a merge was killed since then, after it had added something.
    var hasMergedInPart = false
    /// Revisions that were removed after the backup: a merge may list them again.
    var removedAfterBackup: Set<Key> = []
    /// The bytes of all revisions that were ever listed, by digest.
    var bytes: [ContentDigest: RevisionBytes] = [:]
    /// The shards of pulls under way that have arrived, while a command is checked; by the digest of the revision.
    var arrived: [ContentDigest: [ContentDigest: Int]] = [:]
    /// What the hub has; nil before the first revision is published.
    var hub: SequenceHub.Contents?
    /// The facts about shards in the catalog.
    var catalog = ShardListing()
    /// Origins that a check may have found whole within the last hour.
    var checked: Set<Pair> = []
    /// The files that must be in a revision, because a move has removed them from their directory.
    var moved: Set<MovedFile> = []
    /// All files of the directory of an interrupted move, while nothing else changed the directory.
    var moves: [Move: SequenceDirectory.Contents] = [:]
    /// Shards that an event has lost or changed, until a command that looks for damage finds them whole.
    var suspects: Set<ContentDigest> = []
    /// Shards that `verify` has found damaged or missing: an import heals them.
    var known: Set<ContentDigest> = []
    /// Whether a rebuild has lost a revision, or has found blobs of none, so that collections keep blobs.
    var hasLoss = false
    /// The revisions that a live process uses.
    var held: Set<Key> = []
    /// Shards that need no grace period: the revision that held them was removed, or a day has passed since they became
    /// orphans.
    var free: Set<ContentDigest> = []
    /// Whether a manifest or a record is missing.
    var lacksDescription = false
    /// The prompts of which a revision may have KV blocks, by the digest of the revision.
    var possibleBlocks: [ContentDigest: Set<Int>] = [:]
    /// The prompts of which a revision has all KV blocks, because nothing since their put may have lost one.
    var certainBlocks: [ContentDigest: Set<Int>] = [:]
    var quota: Int?
    /// The contents of the backup's catalog; nil if there is no backup.
    var backup: CatalogListing?
    var backupQuota: Int?
    var backupHasLoss = false
    var backupChecked: Set<Pair> = []
    /// Whether the catalog may list KV blocks whose files were deleted after the backup: a put then finds them stored.
    var lacksBlocks = false
    /// The KV blocks that the backup's catalog may list.
    var backupBlocks: [ContentDigest: Set<Int>] = [:]

    init(urlPrefix: String) { self.urlPrefix = urlPrefix }

    /// The URL of a directory.
    func url(_ place: Int) -> String { urlPrefix + "\(place)" }

    /// The revisions that hold a shard.
    func holders(of shard: ContentDigest, in listing: CatalogListing) -> [Key] {
        listing.revisions.keys.filter { bytes[$0.digest]?.shards[shard] != nil }
    }

    /// The shards of all listed revisions.
    var shards: Set<ContentDigest> {
        listing.revisions.keys.reduce(into: []) { $0.formUnion((bytes[$1.digest]?.shards ?? [:]).keys) }
    }
}

/// The state outside of the store's catalog before a command, and after it.
struct SequenceState {
    var places: [SequenceDirectory.Contents?]
    var whole: [BlobDirectory.Name: Int]
    var damaged: Set<BlobDirectory.Name>
    var isMounted: Bool
    var hub: SequenceHub.Contents?

    init(_ directory: SequenceDirectory, _ hub: SequenceHub.Contents?) throws {
        self.hub = hub
        places = try (0..<SequenceDirectory.places).map { try directory.contents(ofPlace: $0) }
        (whole, damaged) = try directory.scan()
        isMounted = directory.isMounted
    }

    func isWhole(_ shard: ContentDigest) -> Bool { whole[.init(digest: shard, kind: .shard)] != nil }

    /// Whether an origin holds all files of a revision now.
    func holds(_ url: String, _ files: [String: ContentDigest]) -> Bool {
        if let hub, url == hub.url { return hub.isOpen && hub.revisions.contains(files) }
        guard let place = Self.place(of: url), let there = places[place] else { return false }
        return files.allSatisfy { there[$0.key] == $0.value }
    }

    /// Whether an origin answers.
    func answers(_ url: String) -> Bool {
        if let hub, url == hub.url { return hub.isOpen }
        return Self.place(of: url).map { places[$0] != nil } ?? false
    }

    /// The number of the directory that an origin is; nil for the hub.
    static func place(of url: String) -> Int? {
        guard url.hasPrefix("file:") else { return nil }
        return url.last?.wholeNumberValue.flatMap { $0 < SequenceDirectory.places ? $0 : nil }
    }
}
