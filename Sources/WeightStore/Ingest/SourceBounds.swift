import Files
import Support

/// The directories that an import may read from.
///
/// A symbolic link is followed to a target in the source, and to a blob of a Hugging Face cache, where downloaders link
/// to. Other links are skipped: a downloaded `tokenizer.json` could link to any file that the user can read, which
/// would then be stored and served. The store itself is never read, even if it is in the source: a move would delete
/// it.
struct SourceBounds {
    /// With links resolved.
    private var roots: [String]
    /// The directory of the store, with links resolved.
    private let store: String?

    /// - Parameters:
    ///   - roots: existing directories.
    ///   - store: the directory of the store; nil if there is none.
    init(_ roots: [String], store: String?) throws {
        self.store = try store.map { try FileSystem.resolve($0) }
        self.roots = try roots.filter(FileSystem.exists).map { try FileSystem.resolve($0) }
    }

    /// Why a link to `target` is not followed; nil if it is.
    func refusal(of target: String) -> String? {
        if let reason = refusalOfStore(target) { return reason }
        let isInside = roots.contains { Self.contains($0, target) } || HubBlob.isBlob(target)
        return isInside ? nil : "a link to \(target), outside of the source"
    }

    /// Why a directory is not read; nil if it is.
    func refusalOfStore(_ path: String) -> String? {
        store.map { Self.contains($0, path) } == true ? "the store itself" : nil
    }

    /// The path of the target of a link below the directory that contains it; of a blob outside, its name.
    func relative(_ target: String) -> String {
        guard let root = roots.first(where: { Self.contains($0, target) }) else { return FileSystem.name(of: target) }
        return String(decoding: target.utf8.dropFirst(root.utf8.count), as: UTF8.self)
    }

    /// Whether `path` is the directory, or a path in it.
    static func contains(_ directory: String, _ path: String) -> Bool {
        guard path.utf8.starts(with: directory.utf8) else { return false }
        let next = path.utf8.dropFirst(directory.utf8.count).first
        return next == nil || next == UInt8(ascii: "/") || directory == "/"
    }
}
