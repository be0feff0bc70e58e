import Support

/// What is known of file systems in user space (FUSE). All have one number in `statfs`; the table of mounts tells them
/// apart by a subtype (`fuse.sshfs`).
///
/// SQLite's write-ahead log needs memory that all processes of a store share, and one machine that serves all of them. A
/// local FUSE file system provides both, because the kernel's page cache is in front of it.
package enum FUSEFileSystem {
    package enum WALSupport: Sendable {
        case works, fails, unknown
    }

    /// File systems over directories or devices of this machine.
    private static let local: Set<ByteText> = ["fuse-overlayfs", "bindfs", "fuseblk"]

    /// File systems of other machines: each machine has a cache of its own, or no shared mapping can be written.
    private static let remote: Set<ByteText> = [
        "sshfs", "s3fs", "gcsfuse", "rclone", "goofys", "geesefs", "mountpoint-s3", "s3ql", "blobfuse", "blobfuse2",
        "ossfs", "ossfs2", "cosfs", "obsfs", "hf-mount", "juicefs", "seaweedfs", "glusterfs", "ceph-fuse", "mfs",
        "moosefs", "lizardfs", "saunafs", "dfuse", "alluxio-fuse", "objectivefs", "cvmfs2", "davfs", "davfs2",
        "curlftpfs", "smbnetfs", "fuse-nfs", "gvfsd-fuse", "virtiofs",
    ]

    /// - Parameter name: as ``name(ofDevice:in:)`` returns it.
    package static func support(of name: String) -> WALSupport {
        local.contains(ByteText(name)) ? .works : remote.contains(ByteText(name)) ? .fails : .unknown
    }

    /// The name of the FUSE file system on a device: its subtype; without one its source, if the program writes its own
    /// name there.
    ///
    /// - Parameter device: the major and the minor number.
    /// - Returns: `fuse` if the table does not have the device.
    package static func name(ofDevice device: (Int, Int), in table: MountTable) -> String {
        guard let mount = table.mounts.last(where: { $0.major == device.0 && $0.minor == device.1 }) else {
            return "fuse"
        }
        // Of `fuseblk.ntfs`, the first part is decisive: a device of this machine.
        if mount.type.hasBytePrefix("fuseblk") { return "fuseblk" }
        if let subtype = mount.type.dropping(bytePrefix: "fuse.") { return subtype }
        // `virtiofs` has the number of FUSE and a type of its own.
        return mount.type == "fuse" && remote.contains(ByteText(mount.source)) ? mount.source : mount.type
    }
}
