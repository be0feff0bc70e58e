import Foundation
import Glibc
import TestSupport

/// A small file system of its own, mounted as long as the value lives.
final class Disk {
    let path: String
    private let directory: TemporaryDirectory
    private let image: String?
    /// The process that serves a mount through FUSE.
    private var server: ChildProcess?

    /// ext4 in an image file, through a loop device.
    ///
    /// - Parameter reserved: how many percent of its blocks are kept for root.
    static func ext4(megabytes: Int, reserved: Int = 0) throws -> Disk {
        try make(megabytes, "mkfs.ext4", "-q", "-m", "\(reserved)")
    }

    /// XFS, whose files can share blocks, in an image file of the least size that it has.
    static func xfs() throws -> Disk { try make(320, "mkfs.xfs", "-q", "-m", "reflink=1") }

    private static func make(_ megabytes: Int, _ command: String...) throws -> Disk {
        let directory = try TemporaryDirectory()
        let image = directory("image")
        try ChildProcess.check("truncate", "-s", "\(megabytes)M", image)
        let made = try ChildProcess.run(command + [image])
        guard made.status == 0 else { throw ChildProcess.Failed(command: command, reason: made.errors) }
        return try Disk(directory, image: image, "mount", "-o", "loop", image)
    }

    /// - Parameter inodes: how many files it holds at most; nil for half of the machine's pages.
    static func memory(megabytes: Int, inodes: Int? = nil) throws -> Disk {
        let options = "size=\(megabytes)m" + (inodes.map { ",nr_inodes=\($0)" } ?? "")
        return try Disk(TemporaryDirectory(), image: nil, "mount", "-t", "tmpfs", "-o", options, "none")
    }

    /// A view of another directory through FUSE.
    ///
    /// - Parameter subtype: the name of another FUSE file system, which the table of mounts then has.
    static func fuse(of other: String, subtype: String) throws -> Disk {
        let disk = try Disk(TemporaryDirectory(), image: nil)
        let command = ["bindfs", "-f", "-o", "subtype=\(subtype)", other, disk.path]
        disk.server = try ChildProcess(command, output: .null, errors: .null)
        let place = disk.path.split(separator: "/").suffix(2).joined(separator: "/")
        for _ in 0..<200 {
            let mounts = String(decoding: try contents("/proc/mounts"), as: UTF8.self)
            if mounts.contains("\(place) fuse.\(subtype) ") { return disk }
            usleep(10_000)
        }
        throw ChildProcess.Failed(command: command, reason: "not mounted after 2 seconds")
    }

    /// - Parameter mount: the command that mounts it, but for the place.
    private init(_ directory: TemporaryDirectory, image: String?, _ mount: String...) throws {
        self.directory = directory
        self.image = image
        path = directory("mounted")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        if mount.isEmpty { return }
        let mounted = try ChildProcess.run(mount + [path])
        guard mounted.status == 0 else { throw ChildProcess.Failed(command: mount, reason: mounted.errors) }
    }

    deinit {
        // A disk that is still in use stays mounted until it is not.
        _ = try? ChildProcess.run(["umount", "--lazy", path])
    }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// Writes a file until the disk is full.
    func fill(_ name: String) throws {
        let file = open(self(name), O_WRONLY | O_CREAT | O_APPEND, 0o644)
        defer { close(file) }
        for size in [1 << 20, 64 << 10, 4096, 512] {
            let zeros = [UInt8](repeating: 0, count: size)
            while write(file, zeros, size) > 0 {}
        }
        fsync(file)
    }

    /// Allocates a file after which an ordinary user can write `bytes`.
    func leave(_ bytes: Int, _ name: String) throws {
        var facts = statvfs()
        statvfs(path, &facts)
        let available = Int(facts.f_bavail) * Int(facts.f_frsize)
        try ChildProcess.check("fallocate", "--length", "\(available - bytes)", self(name))
    }

    var freeBytes: Int {
        var facts = statvfs()
        statvfs(path, &facts)
        return Int(facts.f_bfree) * Int(facts.f_frsize)
    }

    /// Writes the journal, as an fsync of any other program might: data that is not synced itself is not written.
    func commitJournal() throws {
        let fanOut = try FileManager.default.contentsOfDirectory(atPath: self("store/blobs"))
        for name in [".", "store/blobs"] + fanOut.map({ "store/blobs/" + $0 }) {
            let directory = open(self(name), O_RDONLY | O_DIRECTORY)
            fsync(directory)
            close(directory)
        }
    }

    /// Simulates a power cut: from now on nothing reaches the disk, not even the journal. Ends with `mountAgain`.
    ///
    /// The corresponding request is EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
    func cutPower() throws {
        var flags: UInt32 = 2
        let root = open(path, O_RDONLY)
        defer { close(root) }
        guard ioctl(root, 0x8004_587D, &flags) == 0 else {
            throw ChildProcess.Failed(command: ["ioctl EXT4_IOC_SHUTDOWN"], reason: String(cString: strerror(errno)))
        }
    }

    func mountAgain() throws {
        // A program that lists the file systems keeps it busy for a moment.
        for attempt in 1...100 {
            if try ChildProcess.run(["umount", path]).status == 0 { break }
            if attempt == 100 { try ChildProcess.check("umount", path) }
            usleep(100_000)
        }
        // A process with mounts of its own, which another test has started meanwhile, keeps the disk in use. Then the same
        // file system would be mounted again, still without power.
        for _ in 0..<600 {
            // It fails if another test's device goes while it lists them.
            let devices = try ChildProcess.run(["losetup", "--associated", image!])
            if devices.status == 0, devices.output.isEmpty { break }
            usleep(100_000)
        }
        try ChildProcess.check("mount", "-o", "loop", image!, path)
    }
}
