import Files
import Glibc
import ModelFormats
import Storage
import Support

/// The files to import as one revision: their locations on disk, and their paths in the revision.
struct ImportSource {
    struct File {
        /// The path in the revision: relative, separated by `/`.
        var path: String
        /// The path on disk.
        var location: String
        var bytes: Int
        /// `location` with links resolved.
        var real: String
        /// The state of the file, or of the link to it.
        var status: FileStatus

        var isLink: Bool { status.isLink }
    }

    var model: String
    /// The path of the directory, file or snapshot.
    var location: String
    /// The hub's commit, if known.
    var commit: String?
    var refs: [String]
    var files: [File] = []
    var skipped: [SkippedFile] = []
    /// Whether files that an index names must exist: in a directory; a Hugging Face cache may hold only some of them.
    var mustBeComplete: Bool
    /// The sum of `files`, in bytes.
    var bytes = 0
    /// The number of directories read by links.
    var linkedDirectories = 0
    /// Why the source cannot be imported; nil if that is not known yet. Only the sources of a cache with several have it.
    var refusal: (any Error)?

    /// The names of the indexes of safetensors files end so.
    static let indexSuffix = ".safetensors.index.json"
    /// The most directories that are read by links: links to directories with links can be read in 2^n ways.
    private static let mostLinkedDirectories = 1024

    /// Finds the sources at `path`: one file, a directory, or a Hugging Face cache (one model of it, or all).
    ///
    /// - Parameters:
    ///   - model: the model's name; nil derives it from the path.
    ///   - refs: the refs for a file or a directory.
    ///   - store: the directory of the store, which is not imported; nil if there is none.
    static func find(_ path: String, model: String?, refs: [String], store: String?) throws -> [ImportSource] {
        guard let status = try FileSystem.status(path) else {
            throw StorageError.notFound(kind: "file or directory", name: path)
        }
        let location = try FileSystem.resolve(path)
        let isSecret = [path, location].contains { named in
            ExcludedFile.isSecret(FileSystem.name(of: named), isDirectory: status.isDirectory)
        }
        if isSecret { throw StorageError.invalid(what: "source", value: path, reason: ExcludedFile.secret) }
        if try SourceBounds([], store: store).refusalOfStore(location) != nil {
            throw StorageError.invalid(what: "source", value: path, reason: "is the store, or a part of it")
        }
        if status.isFile {
            let name = FileSystem.name(of: path)
            let dot = name.utf8.lastIndex(of: UInt8(ascii: "."))
            let stem = dot.map { String(decoding: name.utf8[..<$0], as: UTF8.self) } ?? name
            var source = ImportSource(
                model: try ModelName.check(model ?? stem), location: location, refs: refs, mustBeComplete: false)
            guard status.bytes <= Manifest.maximumFileBytes else {
                throw StorageError.invalid(
                    what: "source", value: path, reason: "is larger than \(Manifest.maximumFileBytes) bytes")
            }
            source.files = [
                File(path: name, location: location, bytes: status.bytes, real: location, status: status)
            ]
            return [source]
        }
        if HubCache.isModel(location) {
            return try HubCache.sources(ofModel: location, name: model, store: store)
        }
        if let cache = try HubCache.find(in: location) {
            if let model {
                throw StorageError.invalid(
                    what: "name for this import", value: model,
                    reason: "\(path) is a cache of \(cache.models.count) models; import it without a name")
            }
            return try cache.sources(store: store)
        }
        var source = ImportSource(
            model: try ModelName.check(model ?? FileSystem.name(of: location)), location: location, refs: refs,
            mustBeComplete: true)
        try source.walk(location, "", SourceBounds([location], store: store))
        guard !source.files.isEmpty else {
            throw StorageError.notFound(
                kind: "file to import", name: path, detail: "The directory contains no files.")
        }
        return [source]
    }

    /// Adds the files below a directory, sorted by name. Links are followed within the bounds.
    mutating func walk(
        _ directory: String, _ prefix: String, _ bounds: SourceBounds, real: String? = nil, above: [FileStatus] = []
    ) throws {
        let real = real ?? directory
        if let reason = bounds.refusalOfStore(real) {
            skipped.append(SkippedFile(path: prefix, reason: reason))
            return
        }
        let status = try FileSystem.status(directory)
        if let status, above.contains(where: { $0.device == status.device && $0.inode == status.inode }) {
            skipped.append(SkippedFile(path: prefix, reason: "a link to a parent directory"))
            return
        }
        let entries = try FileSystem.listing(directory)
        if let name = entries.undecodable.first {
            throw StorageError.invalid(
                what: "file name", value: directory + "/" + name, reason: "not UTF-8; rename the file")
        }
        for name in entries.names {
            let location = directory + "/" + name
            let path = prefix.isEmpty ? name : prefix + "/" + name
            guard RelativePath.isValid(path) else {
                throw StorageError.invalid(
                    what: "file name", value: location, reason: "a path of 4096 bytes or more; rename the file")
            }
            // It may be removed while the directory is read.
            guard let own = try FileSystem.status(location, following: false) else { continue }
            var target = real + "/" + name
            if own.isLink {
                let (resolved, problem) = try Self.target(of: location)
                if let reason = problem ?? bounds.refusal(of: resolved) {
                    skipped.append(SkippedFile(path: path, reason: reason))
                    continue
                }
                target = resolved
            }
            guard let entry = try FileSystem.status(target) else { continue }
            let linked = own.isLink ? bounds.relative(target) : nil
            if let reason = ExcludedFile.reason(path, target: linked, isDirectory: entry.isDirectory) {
                skipped.append(SkippedFile(path: path, reason: reason))
                continue
            }
            if entry.isDirectory {
                if own.isLink {
                    linkedDirectories += 1
                    guard linkedDirectories <= Self.mostLinkedDirectories else {
                        throw StorageError.invalid(
                            what: "source", value: directory,
                            reason: "has more than \(Self.mostLinkedDirectories) directories behind links")
                    }
                }
                try walk(location, path, bounds, real: target, above: above + [status].compactMap(\.self))
            } else if entry.isFile {
                bytes = bytes.adding(saturating: entry.bytes)
                guard bytes <= Manifest.maximumFileBytes else {
                    throw StorageError.invalid(
                        what: "source", value: location,
                        reason: "is larger than \(Manifest.maximumFileBytes) bytes, alone or with the files before it")
                }
                files.append(File(path: path, location: location, bytes: entry.bytes, real: target, status: own))
            } else {
                skipped.append(SkippedFile(path: path, reason: "neither a file nor a directory"))
            }
        }
    }

    /// The path that a link leads to, or the reason to leave the link out.
    private static func target(of link: String) throws -> (path: String, problem: String?) {
        do {
            return (try FileSystem.resolve(link), nil)
        } catch FileError.system(_, _, let code) where [ENOENT, ENOTDIR, ELOOP, EILSEQ].contains(code) {
            return ("", code == EILSEQ ? "a link to a path that is not UTF-8" : "a dangling link")
        }
    }

    /// Whether the directory looks like a model: one of its files is a `config.json`, of a format with tensors by its
    /// first bytes or by its name, or of another format of weights by its name. A hub's snapshot and a single file count
    /// as a model in any case.
    func isModel() throws -> Bool {
        if !mustBeComplete { return true }
        let hasName = files.contains { file in
            file.path == "config.json" || file.path.hasByteSuffix("/config.json") || OpaqueWeights.isNamed(file.path)
        }
        return try hasName || files.contains { try FileSource($0.location).format() != .other }
    }

    /// Throws if a file is missing that an index or the name of a split file implies.
    ///
    /// - Parameters:
    ///   - layouts: the layouts of the tensor files, by path.
    ///   - read: returns the bytes of an index file.
    /// - Returns: for each index that names tensors which its files lack, a warning and the first of the violations.
    static func checkComplete(
        _ location: String, paths: Set<ByteText>, layouts: [ByteText: FileLayout], read: (String) throws -> [UInt8]
    ) throws -> [(warning: FileWarning, violation: FormatError)] {
        var warnings: [(warning: FileWarning, violation: FormatError)] = []
        for path in paths.map(\.text).sorted(by: { ByteText($0) < ByteText($1) })
        where path.hasByteSuffix(indexSuffix) {
            let index = try SafetensorsIndex.parse(name: "\(location)/\(path)", bytes: try read(path))
            let folder = FileSystem.folder(of: path)
            let directory = folder.isEmpty ? "" : folder + "/"
            let missing = index.files.filter { !paths.contains(ByteText(directory + $0)) }
            if !missing.isEmpty {
                throw StoreError.incomplete(path: location, missing: missing.map { directory + $0 })
            }
            let violations = try index.check(
                index.files.compactMap { file in layouts[ByteText(directory + file)].map { (key: file, value: $0) } })
            guard let first = violations.first else { continue }
            let others = violations.count > 1 ? " The files lack \(violations.count) tensors of the index." : ""
            warnings.append((FileWarning(path: path, warning: first.warning + others), first))
        }
        var splits: [ByteText: [(key: String, value: FileLayout)]] = [:]
        for (path, layout) in layouts {
            if let split = GGUFSplit(fileName: path.text) {
                splits[ByteText(split.prefix), default: []].append((path.text, layout))
            }
        }
        for (prefix, parts) in splits {
            let numbers = parts.compactMap { GGUFSplit(fileName: $0.key) }
            guard let split = numbers.first else { continue }
            let missing = Set(1...split.count).subtracting(numbers.map(\.number))
            if !missing.isEmpty {
                throw StoreError.incomplete(
                    path: location,
                    missing: missing.sorted().map { "part \($0) of \(split.count) of \(prefix)" })
            }
            try GGUFSplit.check(parts)
        }
        return warnings
    }
}

/// A file that an import skipped.
public struct SkippedFile: Sendable, Codable, Equatable {
    /// The path in the source, or on disk for a file of a Hugging Face cache.
    public var path: String
    /// Why it was skipped.
    public var reason: String
}
