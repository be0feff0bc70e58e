import Dispatch
import Files
import GRDB
import ModelFormats
import Storage
import Support
import Synchronization

/// The source of an import, and its options.
public struct ImportRequest: Sendable {
    /// The path of a directory, a file, or a Hugging Face cache.
    public var source: String
    /// The model's name, `org/name`; nil derives it from the name of the source.
    public var name: String?
    /// The refs that name the new revision. A Hugging Face cache has its own refs, which replace these.
    public var refs = ["main"]
    /// Whether each source file is removed once its bytes are durable in a revision. If the import is interrupted,
    /// every later import of the source first completes the removal, and then adds the files that were moved.
    public var move = false
    /// Whether a directory is imported even if it lacks files that its index names.
    public var partial = false
    /// Whether files with which ``ImportSummary/warnings`` would find something unusual are refused.
    public var strict = false
    /// Whether a file that breaks a rule of its format is kept without tensors, with a warning; otherwise the import is
    /// refused.
    public var opaque = false
    /// Whether a directory with neither weights nor a `config.json` is refused: it may have been given by mistake.
    public var mustBeModel = false
    /// Whether all of the source is read again, and all stored bytes that the import relies on are hashed. Otherwise files
    /// that have not changed since an earlier import are not read, and the stored bytes are sampled.
    public var rehash = false
    /// URLs of origins that hold the files of this revision, the nearest first: its shards may then be evicted. If
    /// empty, the revision's origins stay as they are; without any, its shards are never evicted.
    ///
    /// Each is checked before the commit: sizes, and digests that it publishes or of a sample of its bytes.
    public var origins: [String] = []
    /// Whether ``origins`` count as checked without a check.
    public var trustsOrigins = false
    /// The size at which a batch of a move ends: the space that it needs beside the source, in bytes, and the least
    /// number of files. Later batches have as many files as all before them together, so that the manifests of all
    /// batches together are not much longer than the last one.
    var batch = (bytes: 1 << 30, files: 256)

    /// A request with the default options.
    public init(source: String, name: String? = nil) {
        self.source = source
        self.name = name
    }
}

/// A revision that an import would make.
public struct ImportPlan: Sendable, Codable {
    /// `org/name`.
    public let model: String
    /// The path of the directory, file or snapshot.
    public let source: String
    /// The refs that would name the revision.
    public let refs: [String]
    /// The number of files.
    public let files: Int
    /// Bytes of the files.
    public let bytes: Int
    /// Whether the source looks like a model: a directory with weights or a `config.json`, a file, or a hub's snapshot.
    public let isModel: Bool
    /// Files that the import would skip.
    public let skipped: [SkippedFile]
    /// Of these refs, those that exist, with the names of the revisions that they name now.
    public internal(set) var refsNow: [String: String] = [:]
}

extension ImportRequest {
    /// The revisions that an import would make. Only directories and, if there is one, the store's catalog are read.
    ///
    /// - Parameter store: the directory of the store, which an import skips; it need not exist.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if the source is missing or empty,
    ///   ``StorageError/invalid(what:value:reason:)`` for a name, ``FileError``.
    public func plan(into store: String? = nil) throws -> [ImportPlan] {
        let plan = try sources(store: store.flatMap { FileSystem.exists($0) ? $0 : nil }).map { source in
            ImportPlan(
                model: source.model, source: source.location, refs: source.refs, files: source.files.count,
                bytes: source.files.saturatingSum(\.bytes), isModel: try source.isModel(),
                skipped: source.skipped
                    + (source.refusal.map { [SkippedFile(path: source.location, reason: "\($0)")] } ?? []))
        }
        guard let store, FileSystem.exists(store + "/store.db") else { return plan }
        return try Store(at: store).addingRefs(to: plan)
    }

    var rules: ReadingRules { ReadingRules(isStrict: strict, keepsOpaque: opaque) }

    /// - Parameter store: the directory of the store, which is not imported; nil if there is none.
    func sources(store: String?) throws -> [ImportSource] {
        let refs = try refs.map { try RefName.check($0) }
        return try ImportSource.find(source, model: name, refs: refs, store: store)
    }
}

/// The result of an import.
public struct ImportSummary: Sendable, Codable {
    /// A revision that was imported.
    public struct Imported: Sendable, Codable {
        /// `org/name`.
        public var model: String
        /// 1, 2, 3 … per model.
        public var version: Int
        /// The SHA-256 of the manifest.
        public var digest: ContentDigest
        /// The refs that name it.
        public var refs: [String]
        /// The number of files.
        public var files: Int
        /// Bytes of its files.
        public var bytes: Int
        /// Whether the store held this revision of the model before.
        public var wasKnown: Bool
        /// Refs that named another revision before, with its name: `["main": "org/name@~1"]`.
        public var movedRefs: [String: String] = [:]

        /// `org/name@~3`.
        public var name: String { RevisionName.text(model, version: version, digest: digest) }
    }

    /// The imported revisions, oldest first.
    public var revisions: [Imported]
    /// Bytes of all files.
    public var bytes: Int
    /// Bytes of the shards that were written.
    public var written: Int
    /// Bytes that were written although the store holds them, in experts and packs of an older cutting rule: these
    /// share no shards with those of the newest rule.
    public var storedAgain = 0
    /// Bytes of files that were not read because the store holds them.
    public var skippedBytes: Int
    /// The number of source files removed (`move`).
    public var moved: Int
    /// Files that were not imported, or not removed.
    public var skipped: [SkippedFile]
    /// Unusual files that were imported, with what does not work with them.
    public var warnings: [FileWarning] = []
    /// The revisions of a cache that were not imported, because of a damaged file for example. The import of a source
    /// with one revision throws instead.
    public var failures: [ImportFailure] = []
}
