import Files
import Glibc
import Storage
import Support

/// The cache directory of huggingface_hub: `models--org--name/{blobs,refs,snapshots}`.
///
/// Each snapshot becomes a revision, each ref a ref. `blobs/*.incomplete` are unfinished downloads.
enum HubCache {
    static let prefix = "models--"
    /// The most bytes of a file in `refs/`, which holds a commit.
    private static let mostRefBytes = 4096

    static func isModel(_ path: String) -> Bool {
        FileSystem.name(of: path).hasBytePrefix(prefix) && FileSystem.exists(path + "/snapshots")
    }

    /// - Parameters:
    ///   - name: the model's name; nil derives it from the path.
    ///   - store: the directory of the store, which is not imported; nil if there is none.
    static func sources(ofModel path: String, name: String?, store: String?) throws -> [ImportSource] {
        let model = try ModelName.check(name ?? modelName(ofFolder: FileSystem.name(of: path)))
        var halves = try FileSystem.entries(path + "/blobs").filter { $0.hasByteSuffix(".incomplete") }
            .map { SkippedFile(path: "\(path)/blobs/\($0)", reason: "download not finished") }
        let refs = try refs(path + "/refs", &halves)
        var snapshots: [(source: ImportSource, modified: Int64)] = []
        let bounds = try SourceBounds([path, path + "/blobs"], store: store)
        let entries = try FileSystem.listing(path + "/snapshots")
        halves += entries.undecodable.map {
            SkippedFile(path: "\(path)/snapshots/\($0)", reason: "the name is not a commit")
        }
        for commit in entries.names {
            let location = path + "/snapshots/" + commit
            guard let status = try FileSystem.status(location), status.isDirectory else { continue }
            guard CommitName.isValid(commit) else {
                halves.append(SkippedFile(path: location, reason: "the name is not a commit"))
                continue
            }
            var source = ImportSource(
                model: model, location: location, commit: commit, refs: refs[ByteText(commit)] ?? [],
                mustBeComplete: false)
            do {
                try source.walk(location, "", bounds)
            } catch {
                guard ImportSource.isRefusal(error, of: location) else { throw error }
                source.refusal = error
                (source.files, source.bytes) = ([], 0)
            }
            source.skipLitter()
            if source.files.isEmpty, source.refusal == nil {
                halves.append(SkippedFile(path: location, reason: "the snapshot holds no file"))
                halves += source.skipped
            } else {
                snapshots.append((source, status.modified))
            }
        }
        // Versions are numbered in the order in which the snapshots were made.
        snapshots.sort {
            ($0.modified, ByteText($0.source.location)) < ($1.modified, ByteText($1.source.location))
        }
        var sources = snapshots.map(\.source)
        guard !sources.isEmpty else {
            throw StorageError.notFound(kind: "snapshot", name: path, detail: "The cache holds no file of the model.")
        }
        sources[0].skipped += halves
        return sources
    }

    /// `org/name` of `models--org--name`.
    static func modelName(ofFolder folder: String) -> String {
        let text = folder.dropping(bytePrefix: prefix) ?? folder
        let bytes = Array(text.utf8)
        let dash = UInt8(ascii: "-")
        guard let place = bytes.indices.dropLast().first(where: { bytes[$0] == dash && bytes[$0 + 1] == dash }) else {
            return text
        }
        return String(decoding: bytes[..<place], as: UTF8.self) + "/"
            + String(decoding: bytes[(place + 2)...], as: UTF8.self)
    }

    /// The refs, by the commit that they name.
    ///
    /// - Parameter skipped: receives the files that name no ref.
    private static func refs(_ root: String, _ skipped: inout [SkippedFile]) throws -> [ByteText: [String]] {
        var refs: [ByteText: [String]] = [:]
        for (ref, location) in try files(root, &skipped) {
            if ExcludedFile.isLitter(ref) {
                skipped.append(SkippedFile(path: location, reason: "not a ref"))
                continue
            }
            do {
                // A FIFO would block.
                guard try FileSystem.status(location)?.isFile == true else {
                    throw StorageError.invalid(what: "ref", value: ref, reason: "is not a regular file")
                }
                let bytes = try FileSystem.read(location, limit: mostRefBytes).filter { $0 > 0x20 }
                let commit = String(decoding: bytes, as: UTF8.self)
                guard CommitName.isValid(commit) else {
                    throw StorageError.invalid(what: "ref", value: ref, reason: "does not hold a commit")
                }
                refs[ByteText(commit), default: []].append(try RefName.check(ref))
            } catch let error as StorageError {
                skipped.append(SkippedFile(path: location, reason: "\(error)"))
            } catch FileError.tooLarge(_, let limit) {
                skipped.append(SkippedFile(path: location, reason: "larger than \(limit) bytes: not a ref"))
            }
        }
        return refs
    }

    /// The files below a directory, by relative path: a ref may be named `refs/pr/1`.
    ///
    /// - Parameter skipped: receives those whose names are not UTF-8.
    private static func files(
        _ root: String, _ skipped: inout [SkippedFile], _ prefix: String = ""
    ) throws -> [(String, String)] {
        let entries = try FileSystem.listing(root)
        skipped += entries.undecodable.map { SkippedFile(path: "\(root)/\($0)", reason: "the name is not UTF-8") }
        var found: [(String, String)] = []
        for name in entries.names {
            let path = root + "/" + name
            // Links to directories are not followed: they may form a loop.
            let isDirectory = try FileSystem.status(path, following: false)?.isDirectory == true
            found += isDirectory ? try files(path, &skipped, prefix + name + "/") : [(prefix + name, path)]
        }
        return found
    }
}

extension ImportSource {
    /// Leaves out files of a snapshot that a desktop or an interpreter has made. A link with such a name leads to a blob:
    /// it is a file of the repository.
    fileprivate mutating func skipLitter() {
        let litter = files.filter { !$0.isLink && ExcludedFile.isLitter($0.path) }
        if litter.isEmpty { return }
        let paths = Set(litter.map { ByteText($0.path) })
        files.removeAll { paths.contains(ByteText($0.path)) }
        bytes -= litter.saturatingSum(\.bytes)
        skipped += litter.map { SkippedFile(path: $0.path, reason: "not a file of the repository") }
    }
}
