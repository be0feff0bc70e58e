import Files
import Support

/// How pages that are not in the page cache are read.
package enum ReadingWay: Sendable {
    /// Into pages of 4 KiB, or what the file system prefers.
    case smallPages
    /// Into pages of 2 MiB, where the file system supports them.
    case hugePages

    /// The faster way on this machine.
    package static let ofMachine = current()

    /// Huge pages, unless the machine is a virtual one that reports its free memory to its host: the host then takes free
    /// blocks of 2 MiB and more back, and each that is used again waits for the host. Small pages are made of what is left.
    ///
    /// Measured with 2.47 GB on ext4 (Linux 6.18) in such a virtual machine, four threads, until every page was touched:
    /// small pages take 1.4 to 1.9 s, huge ones 2.6 to 4.0 s. The first hundred megabytes do not show it, because their
    /// memory may have been in use a moment ago. Later loads of what is cached in huge pages are faster, 10 ms instead
    /// of 50, which is no compensation.
    ///
    /// - Parameter root: the directory that has `/sys`; another one in tests.
    package static func current(below root: String = "") -> ReadingWay {
        let driver = "\(root)/sys/bus/virtio/drivers/virtio_balloon"
        let devices = (try? FileSystem.entries(driver)) ?? []
        let isReported = devices.contains { device in
            let features = KernelFile.words("\(driver)/\(device)/features").first?.utf8.dropFirst(reporting)
            return features?.first == UInt8(ascii: "1")
        }
        return isReported ? .smallPages : .hugePages
    }

    /// The bit `VIRTIO_BALLOON_F_REPORTING` of a balloon's features (Virtual I/O Device 1.2, 5.5.3).
    private static let reporting = 5
}
