import Support
import Synchronization
import WeightStore

/// The mounted tree: finds the entry of a name, and the entries of a directory, in the catalog.
///
///     org/name/main/model.safetensors         a ref, or main
///     org/name/@3f2a…/model.safetensors       a commit, a digest, or a version: @~3
///     _/name/…                                a model without an organisation
final class MountTree: Sendable {
    /// An entry of a directory.
    struct Entry: Sendable {
        let name: String
        let node: MountNode
    }

    static let noOrganisation = "_"

    private struct Known {
        let tree: RevisionTree
        var lastUse: Int
    }

    private struct TreeKey: Hashable {
        let id: Int64
        let digest: ContentDigest
    }

    private struct Trees {
        var known: [TreeKey: Known] = [:]
        var uses = 0
    }

    /// The most revisions whose files are kept in memory.
    private static let mostTrees = 64

    let root: MountNode
    private let store: Store
    /// The models that are shown; nil for all.
    private let shown: Set<ByteText>?
    /// Whether models that the store lacks may be found at an upstream.
    private let hasUpstream: Bool
    private let trees = Mutex(Trees())

    /// - Parameters:
    ///   - models: shell patterns of the models that are shown; empty for all.
    ///   - revision: shown in place of the models.
    init(_ store: Store, models: [String], revision: String?, hasUpstream: Bool) throws {
        self.store = store
        self.hasUpstream = hasUpstream
        if let revision {
            let (model, name) = Self.parts(revision)
            root = .revision(.init(model: ByteText(model), ref: name.map { ByteText($0) }, isRef: true))
        } else {
            root = .root
        }
        if models.isEmpty {
            shown = nil
        } else {
            var names: Set<ByteText> = []
            for pattern in models {
                let found = try store.models(matching: pattern).map { ByteText($0.name) }
                if found.isEmpty {
                    // A model of the upstream.
                    guard hasUpstream, let name = try? ModelName.check(pattern) else {
                        throw StorageError.notFound(kind: "model", name: pattern)
                    }
                    names.insert(ByteText(name))
                }
                names.formUnion(found)
            }
            shown = names
        }
    }

    private static func parts(_ text: String) -> (model: String, revision: String?) {
        let parts = text.byteParts("@", maxSplits: 1)
        return (parts[0], parts.count > 1 ? parts[1] : nil)
    }

    // MARK: Lookups

    /// The entry of a name in a directory.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if it has none; errors of the catalog.
    func find(_ name: String, in directory: MountNode) throws -> MountNode {
        let missing = StorageError.notFound(kind: "file", name: name)
        switch directory {
        case .root:
            guard (try? ModelName.check(name)) != nil, !name.utf8.contains(UInt8(ascii: "/")) else { throw missing }
            let isKnown =
                try hasUpstream
                || models().contains { Self.organisation(of: $0) == name || $0.hasBytePrefix("\(name)/") }
            guard isKnown else { throw missing }
            return .organisation(ByteText(name))
        case .organisation(let organisation):
            guard let model = try model(name, of: organisation.text) else { throw missing }
            return .model(ByteText(model))
        case .model(let model):
            guard let revision = Self.revision(name, of: model) else { throw missing }
            _ = try store.identity(of: revision.text)
            return .revision(revision)
        case .revision(let revision):
            return try entry(name, of: tree(revision), in: "", parent: revision)
        case .folder(let folder):
            return try entry(name, of: tree(folder.revision), in: "\(folder.path.text)/", parent: folder.parent)
        case .file: throw missing
        }
    }

    /// The directory of a revision of a model, without looking it up.
    ///
    /// - Returns: nil for a name that none has.
    static func revision(_ name: String, of model: ByteText) -> MountNode.RevisionDirectory? {
        if name == "main" { return .init(model: model, ref: nil, isRef: true) }
        if let exact = name.dropping(bytePrefix: "@") {
            let digits = exact.dropping(bytePrefix: "sha256:") ?? exact
            let isDigest = digits.utf8.count >= 6 && digits.utf8.allSatisfy { Hex.value($0) != nil }
            guard isDigest || exact.hasBytePrefix("~") else { return nil }
            return .init(model: model, ref: ByteText(exact), isRef: false)
        }
        guard let ref = RefDirectory.ref(name), (try? RefName.checkStored(ref)) != nil else { return nil }
        return .init(model: model, ref: ByteText(ref), isRef: true)
    }

    private func model(_ name: String, of organisation: String) throws -> String? {
        let full = "\(organisation)/\(name)"
        let candidates = organisation == Self.noOrganisation ? [name, full] : [full]
        let valid = candidates.filter { (try? ModelName.check($0)) != nil && !name.utf8.contains(UInt8(ascii: "/")) }
        let visible = valid.filter { shown?.contains(ByteText($0)) ?? true }
        return try visible.first { try store.hasModel($0) } ?? (hasUpstream ? visible.first : nil)
    }

    private func entry(
        _ name: String, of tree: RevisionTree, in folder: String, parent: MountNode.RevisionDirectory
    ) throws -> MountNode {
        let path = folder + name
        let index = tree.firstIndex(from: path)
        if index < tree.files.count, ByteText(tree.files[index].path) == ByteText(path) {
            return Self.file(tree.files[index], of: tree)
        }
        let first = tree.firstIndex(from: path + "/")
        guard first < tree.files.count, tree.files[first].path.hasBytePrefix(path + "/") else {
            throw StorageError.notFound(kind: "file", name: "\(tree.revision.name) \(path)")
        }
        return .folder(MountFolder(parent: parent, revision: MountedRevision(tree), path: ByteText(path)))
    }

    private static func file(_ file: FileEntry, of tree: RevisionTree) -> MountNode {
        .file(
            MountFile(
                revision: MountedRevision(tree), path: ByteText(file.path), bytes: file.bytes, digest: file.digest))
    }

    // MARK: Directories

    /// The entries of a directory, sorted.
    func entries(of directory: MountNode) throws -> [Entry] {
        switch directory {
        case .root:
            let names = Set(try models().map { ByteText(Self.organisation(of: $0)) })
            return names.sorted().map { Entry(name: $0.text, node: .organisation($0)) }
        case .organisation(let organisation):
            var result: [ByteText: String] = [:]
            for model in try models() {
                if Self.organisation(of: model) == organisation.text {
                    result[ByteText(Self.name(of: model))] = model
                } else if model.hasBytePrefix("\(organisation.text)/") {
                    let name = ByteText(Self.name(of: model))
                    if result[name] == nil { result[name] = model }
                }
            }
            return result.sorted { $0.key < $1.key }.map { Entry(name: $0.key.text, node: .model(ByteText($0.value))) }
        case .model(let model): return try revisions(of: model)
        case .revision(let revision): return try children(of: tree(revision), in: "", parent: revision)
        case .folder(let folder):
            return try children(of: tree(folder.revision), in: "\(folder.path.text)/", parent: folder.parent)
        case .file: return []
        }
    }

    private func revisions(of model: ByteText) throws -> [Entry] {
        // A model of the upstream has no revision here.
        guard try store.hasModel(model.text) else { return [] }
        let all = try store.revisions(of: model.text).filter { $0.version != nil }
        if all.isEmpty { return [] }
        var names: Set<ByteText> = ["main"]
        for revision in all {
            names.formUnion(revision.refs.map { ByteText(RefDirectory.name(of: $0)) })
            names.insert(ByteText("@\(revision.commit)"))
        }
        return names.sorted().compactMap { name in
            Self.revision(name.text, of: model).map { Entry(name: name.text, node: .revision($0)) }
        }
    }

    private func children(
        of tree: RevisionTree, in folder: String, parent: MountNode.RevisionDirectory
    ) -> [Entry] {
        var result: [Entry] = []
        var index = tree.firstIndex(from: folder)
        while index < tree.files.count, let rest = tree.files[index].path.dropping(bytePrefix: folder) {
            let parts = rest.byteParts("/", maxSplits: 1)
            if parts.count == 1 {
                result.append(Entry(name: rest, node: Self.file(tree.files[index], of: tree)))
                index += 1
                continue
            }
            let path = folder + parts[0]
            result.append(
                Entry(
                    name: parts[0],
                    node: .folder(MountFolder(parent: parent, revision: MountedRevision(tree), path: ByteText(path)))))
            while index < tree.files.count, tree.files[index].path.hasBytePrefix(path + "/") { index += 1 }
        }
        return result
    }

    // MARK: Facts

    private func models() throws -> [String] {
        let all = try store.modelNames()
        return shown.map { shown in all.filter { shown.contains(ByteText($0)) } } ?? all
    }

    private static func organisation(of model: String) -> String {
        let folder = FileSystem.folder(of: model)
        return folder.isEmpty ? noOrganisation : folder
    }

    private static func name(of model: String) -> String { FileSystem.name(of: model) }

    /// The files of the revision that a directory names now.
    func tree(_ revision: MountNode.RevisionDirectory) throws -> RevisionTree {
        try tree(of: store.identity(of: revision.text), name: revision.text)
    }

    /// The files of a revision that was found before.
    func tree(_ revision: MountedRevision) throws -> RevisionTree {
        let row = try store.identity(of: revision.name.text)
        guard row.id == revision.id else {
            throw StorageError.notFound(kind: "revision", name: revision.name.text)
        }
        return try tree(of: row, name: revision.name.text)
    }

    private func tree(of row: RevisionRow, name: String) throws -> RevisionTree {
        let key = TreeKey(id: row.id, digest: row.digest)
        let known = trees.withLock { trees in
            trees.uses += 1
            trees.known[key]?.lastUse = trees.uses
            return trees.known[key]?.tree
        }
        if let known { return known }
        guard let tree = try store.tree(of: row) else { throw StorageError.notFound(kind: "revision", name: name) }
        trees.withLock { trees in
            if trees.known.count >= Self.mostTrees,
                let oldest = trees.known.min(by: { $0.value.lastUse < $1.value.lastUse })?.key
            {
                trees.known[oldest] = nil
            }
            trees.known[key] = Known(tree: tree, lastUse: trees.uses)
        }
        return tree
    }
}

extension RevisionTree {
    /// The index of the first file whose path is not before `path`.
    fileprivate func firstIndex(from path: String) -> Int {
        var (low, high) = (0, files.count)
        while low < high {
            let middle = (low + high) / 2
            if ByteText(files[middle].path) < ByteText(path) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
