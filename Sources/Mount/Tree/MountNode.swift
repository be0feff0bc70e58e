import Support
import WeightStore

/// What a name in the mounted tree stands for. Equal values are one inode.
enum MountNode: Hashable, Sendable {
    /// The directory of the models.
    case root
    /// The models of an organisation; `_` has the models without one.
    case organisation(ByteText)
    /// The revisions of a model.
    case model(ByteText)
    /// A revision, by one of its names.
    case revision(RevisionDirectory)
    /// A folder in a revision.
    case folder(MountFolder)
    case file(MountFile)

    /// A revision by the name of its directory.
    struct RevisionDirectory: Hashable, Sendable {
        let model: ByteText
        /// A ref, or a name behind `@`; nil for the revision that `model` alone names: `main`.
        let ref: ByteText?
        /// Whether the name means another revision later.
        let isRef: Bool

        /// As `Store.revision` has it.
        var text: String { ref.map { "\(model.text)@\($0.text)" } ?? model.text }
    }

    var isDirectory: Bool {
        if case .file = self { return false }
        return true
    }
}

/// A folder in a revision, which never changes.
struct MountFolder: Hashable, Sendable {
    /// The directory through which it was found: the kernel knows each directory by one path only.
    let parent: MountNode.RevisionDirectory
    let revision: MountedRevision
    let path: ByteText
}

/// A file of a revision, which never changes. It is one inode under every name of its revision, so that its bytes are
/// cached once.
struct MountFile: Hashable, Sendable {
    let revision: MountedRevision
    let path: ByteText
    let bytes: Int
    /// The SHA-256 of the file.
    let digest: ContentDigest
}

/// The identity of a revision, which is found again when one of its files is opened.
struct MountedRevision: Hashable, Sendable {
    let id: Int64
    /// `org/name@~3`: the digest changes when the last byte of a pulled revision arrives, the version does not.
    let name: ByteText
    /// Seconds since 1970.
    let created: Int

    init(_ tree: RevisionTree) {
        id = tree.revision.id
        name = ByteText(tree.revision.name)
        created = tree.created
    }
}
