import WeightStore

/// The extended attributes of files and directories of revisions.
///
/// - `user.weightstore.digest`: the SHA-256 of the revision's manifest.
/// - `user.weightstore.commit`: its commit.
/// - `user.weightstore.sha256`: the SHA-256 of the file; of files only.
enum ExtendedAttributes {
    private static let prefix = "user.weightstore."

    /// The names, each with a zero byte behind it.
    static func names(of node: MountNode) -> [UInt8] {
        let names =
            switch node {
            case .file: ["digest", "commit", "sha256"]
            case .revision, .folder: ["digest", "commit"]
            case .root, .organisation, .model: [] as [String]
            }
        return names.flatMap { Array("\(prefix)\($0)".utf8) + [0] }
    }

    /// - Returns: nil if the node has no such attribute.
    /// - Throws: errors of the catalog.
    static func value(_ name: String, of node: MountNode, in tree: MountTree) throws -> String? {
        guard let name = name.dropping(bytePrefix: prefix) else { return nil }
        let revision: RevisionTree
        switch node {
        case .file(let file):
            if name == "sha256" { return file.digest.hex }
            revision = try tree.tree(file.revision)
        case .folder(let folder): revision = try tree.tree(folder.revision)
        case .revision(let directory): revision = try tree.tree(directory)
        case .root, .organisation, .model: return nil
        }
        return switch name {
        case "digest": revision.revision.digest.hex
        case "commit": revision.commit
        default: nil
        }
    }
}
