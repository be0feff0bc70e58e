import Glibc

extension Revision {
    /// Writes files into a directory, each checked against its digest and then renamed into place: a file that is
    /// there under its name is whole.
    ///
    /// - Parameters:
    ///   - paths: which files; nil means all.
    ///   - overwriting: replace files that are there already. Without it, they are an error.
    ///   - progress: is told each file's path before it is written, and the bytes as they are.
    /// - Returns: files and bytes written.
    @discardableResult
    public func export(
        to directory: String, paths: [String]? = nil, overwriting: Bool = false,
        progress: (String, Int) throws -> Void = { _, _ in }
    ) throws -> (files: Int, bytes: Int) {
        let files = try files()
        for path in paths ?? [] where !files.contains(where: { $0.path == path }) {
            throw StoreError.notFound(
                kind: "file", name: "\(name) \(path)", hint: "\"weightstore files \(model)\" lists them.")
        }
        var written = (files: 0, bytes: 0)
        for file in files where paths?.contains(file.path) ?? true {
            let target = directory + "/" + file.path
            if !overwriting, FileSystem.exists(target) {
                throw StoreError.invalid(
                    what: "place to export to", value: target, reason: "a file is there; --force replaces it")
            }
            try progress(file.path, 0)
            try FileSystem.createDirectory(FileSystem.parent(of: target))
            let temporary = "\(target).weightstore-\(getpid())"
            do {
                let output = try FileDescriptor(temporary, O_WRONLY | O_CREAT | O_TRUNC)
                var offset = 0
                try read(file.path) { bytes in
                    try output.write(bytes, at: offset)
                    offset += bytes.count
                    try progress(file.path, bytes.count)
                }
                try FileSystem.rename(temporary, to: target)
            } catch {
                unlink(temporary)
                throw error
            }
            written.files += 1
            written.bytes += file.bytes
        }
        return written
    }
}
