import Glibc

/// An open directory. The corresponding C functions are `opendir`, `readdir` and `fstatat`.
struct DirectoryReader: ~Copyable {
    private let stream: OpaquePointer
    private let path: String

    /// - Parameters:
    ///   - name: the path, with the byte 0 at its end.
    ///   - path: the path as text, for errors.
    /// - Returns: nil if the directory does not exist.
    init?(_ name: [CChar], path: String) throws(FileError) {
        guard let stream = opendir(name) else {
            if errno == ENOENT { return nil }
            throw .failed("opendir", path, errno)
        }
        self.stream = stream
        self.path = path
    }

    deinit { closedir(stream) }

    /// Reads the entries without `.` and `..`, once.
    ///
    /// - Parameter body: receives the bytes of a name, which are valid during the call, and the number of its inode.
    func forEach(_ body: (_ name: UnsafeBufferPointer<UInt8>, _ inode: UInt64) -> Void) throws(FileError) {
        while true {
            // Only errno distinguishes the end of the directory from an error.
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw .system(operation: "readdir", path: path, code: errno) }
                return
            }
            let inode = UInt64(entry.pointee.d_ino)
            withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                let name = UnsafeBufferPointer(rebasing: bytes.bindMemory(to: UInt8.self).prefix { $0 != 0 })
                if !name.elementsEqual(".".utf8) && !name.elementsEqual("..".utf8) { body(name, inode) }
            }
        }
    }

    /// The size of a file, in bytes: 0 for what is no regular file, nil if it does not exist.
    ///
    /// - Parameter name: its name, up to the first byte 0.
    func bytes(ofFile name: ArraySlice<UInt8>) throws(FileError) -> Int? {
        var facts = stat()
        let result = name.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { fstatat(dirfd(stream), $0.baseAddress!, &facts, 0) }
        }
        if result == 0 { return facts.st_mode & S_IFMT == S_IFREG ? Int(facts.st_size) : 0 }
        let code = errno
        if code == ENOENT { return nil }
        let text = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
        throw .system(operation: "stat", path: "\(path)/\(text)", code: code)
    }
}
