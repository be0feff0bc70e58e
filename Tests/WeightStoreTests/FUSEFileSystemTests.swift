import Support
import TestSupport
import Testing
@testable import Files

/// FUSE file systems, by the table of mounts.
@Suite(.blocking) struct FUSEFileSystemTests {
    private static let table = MountTable(lines: [
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
        "40 27 0:40 / /a rw - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0",
        "41 27 0:41 / /b rw - fuse.sshfs me@host:/srv rw,user_id=0",
        "42 27 0:42 / /c rw - fuseblk /dev/sdb1 rw,blksize=4096",
        "43 27 0:43 / /d rw - fuse.rclone remote: rw",
        "44 27 0:44 / /e rw - fuse mountpoint-s3 rw",
        "45 27 0:45 / /f rw - fuse /home/me/files rw",
        "46 27 0:46 / /g rw - virtiofs shared rw",
        "47 27 0:47 / /h rw - fuse.newfs sshfs rw",
        "48 27 0:48 / /i rw - fuse.s3fs s3fs rw",
        "49 27 0:49 / /j rw - fuse.gcsfuse bucket rw",
    ])

    @Test(
        "the subtype tells local FUSE file systems from those of other machines",
        arguments: [
            (40, "fuse-overlayfs", .works), (41, "sshfs", .fails), (42, "fuseblk", .works), (43, "rclone", .fails),
            (44, "mountpoint-s3", .fails), (45, "fuse", .unknown), (46, "virtiofs", .fails), (47, "newfs", .unknown),
            (48, "s3fs", .fails), (49, "gcsfuse", .fails), (99, "fuse", .unknown),
        ] as [(Int, String, FUSEFileSystem.WALSupport)])
    func support(minor: Int, name: String, support: FUSEFileSystem.WALSupport) {
        #expect(FUSEFileSystem.name(ofDevice: (0, minor), in: Self.table) == name)
        #expect(FUSEFileSystem.support(of: name) == support)
    }

    @Test(
        "file systems of other machines that are not FUSE are known by their numbers",
        arguments: [
            (0x6969, "NFS"), (0x1983_0326, "BeeGFS"), (0x2003_0528, "OrangeFS"), (0x786F_4256, "vboxsf"),
        ] as [(Int64, String)])
    func network(type: Int64, name: String) {
        #expect(FileSystem.networks[type] == name)
    }

    @Test("a local file system is accepted without a warning")
    func local() throws {
        let directory = try TemporaryDirectory()
        #expect(try FileSystem.requireLocal(directory.path) == nil)
        withExtendedLifetime(directory) {}
    }
}
