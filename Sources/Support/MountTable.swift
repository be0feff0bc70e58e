/// The file systems that this process sees: `/proc/self/mountinfo`, whose format is in proc_pid_mountinfo(5).
package struct MountTable: Sendable {
    /// A mounted file system.
    package struct Mount: Sendable, Equatable {
        /// The number of the device: major and minor.
        package let major: Int
        package let minor: Int
        /// The directory of the file system that is mounted: `/`, unless a part of it is.
        package let root: String
        /// Where it is mounted.
        package let point: String
        /// `ext4`, `cgroup2`; with FUSE and its subtype: `fuse.sshfs`.
        package let type: String
        /// A device, or any other text that the file system gives.
        package let source: String
        /// The options of the file system: for control groups of version 1 its controllers.
        package let options: [String]
    }

    /// In the order in which they were mounted.
    package let mounts: [Mount]

    /// Reads the table of this process.
    ///
    /// - Parameter root: the directory that has `/proc`; another one in tests.
    package init(below root: String = "") {
        self.init(lines: KernelFile.lines("\(root)/proc/self/mountinfo"))
    }

    /// Parses the lines of a table. Those in another form are skipped.
    package init(lines: [String]) { mounts = lines.compactMap(Mount.init) }
}

extension MountTable.Mount {
    /// A line: `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/vda rw,errors=continue`. Any number of optional
    /// fields is between the sixth field and the hyphen.
    fileprivate init?(_ line: String) {
        let fields = line.byteParts(" ")
        guard let hyphen = fields.dropFirst(6).firstIndex(of: "-"), fields.count > hyphen + 3 else { return nil }
        let device = fields[2].byteParts(":").map { Int(decimal: $0) }
        guard device.count == 2, let major = device[0], let minor = device[1] else { return nil }
        (self.major, self.minor) = (major, minor)
        root = Self.unescape(fields[3])
        point = Self.unescape(fields[4])
        type = Self.unescape(fields[hyphen + 1])
        source = Self.unescape(fields[hyphen + 2])
        options = fields[hyphen + 3].byteParts(",")
    }

    /// Blanks, line feeds and backslashes are written as a backslash and three octal digits.
    private static func unescape(_ field: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = octal(rest.prefix(3)) {
                bytes.append(code)
                rest.removeFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// - Returns: nil unless there are three octal digits, of a byte.
    private static func octal(_ digits: ArraySlice<UInt8>) -> UInt8? {
        guard digits.count == 3, digits.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "7") ~= $0 }) else { return nil }
        return UInt8(exactly: digits.reduce(0) { $0 << 3 | Int($1 & 7) })
    }
}
