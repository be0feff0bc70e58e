import CFUSE
import Glibc
import WeightStore

/// The attributes and the validity of nodes, as the kernel receives them.
struct MountAttributes: Sendable {
    /// For what never changes: a day, in seconds.
    private static let long: UInt64 = 86_400
    /// For directories to which models and refs are added, in seconds.
    private static let short: UInt64 = 1

    private let user = geteuid()
    private let group = getegid()
    private let started = UInt64(max(time(nil), 0))

    func attributes(_ node: MountNode, _ number: UInt64) -> fuse_attr {
        var result = fuse_attr()
        result.ino = number
        result.uid = user
        result.gid = group
        result.blksize = 1 << 17
        result.mode = S_IFDIR | 0o555
        // Of a directory with another number, programs expect that many subdirectories (fts(3)).
        result.nlink = 1
        var seconds = started
        switch node {
        case .file(let file):
            result.mode = S_IFREG | 0o444
            result.size = UInt64(file.bytes)
            result.blocks = (UInt64(file.bytes) + 511) / 512
            seconds = UInt64(max(file.revision.created, 0))
        case .folder(let folder): seconds = UInt64(max(folder.revision.created, 0))
        case .root, .organisation, .model, .revision: break
        }
        (result.atime, result.mtime, result.ctime) = (seconds, seconds, seconds)
        return result
    }

    /// The time for which the kernel keeps attributes, in seconds.
    private func validity(_ node: MountNode) -> UInt64 {
        switch node {
        case .file, .folder: Self.long
        case .root, .organisation, .model, .revision: Self.short
        }
    }

    /// The time for which the kernel keeps the name of a node in a directory, in seconds. Below a ref, every use of a name
    /// asks for the revision of that moment.
    private func nameValidity(_ node: MountNode, in directory: MountNode) -> UInt64 {
        switch directory {
        case .revision(let revision): revision.isRef ? 0 : Self.long
        case .folder, .file: Self.long
        case .root, .organisation, .model: Self.short
        }
    }

    func entry(_ node: MountNode, _ number: UInt64, in directory: MountNode) -> fuse_entry_out {
        var result = fuse_entry_out()
        result.nodeid = number
        result.entry_valid = nameValidity(node, in: directory)
        result.attr_valid = validity(node)
        result.attr = attributes(node, number)
        return result
    }

    func reply(_ node: MountNode, _ number: UInt64) -> fuse_attr_out {
        var result = fuse_attr_out()
        result.attr_valid = validity(node)
        result.attr = attributes(node, number)
        return result
    }
}
