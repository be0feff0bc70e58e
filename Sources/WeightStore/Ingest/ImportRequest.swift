import Dispatch
import GRDB
import Storage
import Synchronization

/// What to import.
public struct ImportRequest: Sendable {
    /// A directory, a file, or a Hugging Face cache.
    public var source: String
    /// The model's name; nil takes it from the source's.
    public var name: String?
    /// The refs that shall name the new revision. A hub cache brings its own.
    public var refs = ["main"]
    /// Remove each source file as soon as its bytes are safe.
    public var move = false
    /// Take a directory even if files are missing that its index names.
    public var partial = false
    /// Where the shards of this revision can be had again, the nearest first: they may then be evicted. Empty leaves the
    /// model's origins as they are, and keeps what this import alone brings in.
    public var origins: [String] = []

    public init(source: String, name: String? = nil) {
        self.source = source
        self.name = name
    }
}

/// What an import would take as one revision.
public struct ImportPlan: Sendable, Codable {
    public let model: String
    /// Where the files lie.
    public let source: String
    public let refs: [String]
    public let files: Int
    /// Bytes of the files.
    public let bytes: Int
    public let skipped: [SkippedFile]
}

extension ImportRequest {
    /// The revisions that an import would make. Nothing is read but directories.
    public func plan() throws -> [ImportPlan] {
        try sources().map { source in
            ImportPlan(
                model: source.model, source: source.location, refs: source.refs, files: source.files.count,
                bytes: source.files.reduce(0) { $0 + $1.bytes }, skipped: source.skipped)
        }
    }

    func sources() throws -> [ImportSource] {
        let refs = try refs.map { try RefName.check($0) }
        return try ImportSource.find(source, model: name, refs: refs)
    }
}

/// What an import did.
public struct ImportSummary: Sendable, Codable {
    public struct Imported: Sendable, Codable {
        public var model: String
        public var version: Int
        public var digest: ContentDigest
        public var refs: [String]
        public var files: Int
        /// Bytes of its files.
        public var bytes: Int
        /// Whether the store held this very revision of the model before.
        public var wasKnown: Bool
    }

    public var revisions: [Imported]
    /// Bytes of all files.
    public var bytes: Int
    /// Bytes of shards that were written.
    public var written: Int
    /// Bytes of files that were not read, because the store knows them.
    public var skippedBytes: Int
    /// Source files removed (`move`).
    public var moved: Int
    public var skipped: [SkippedFile]
}
