import Files
import Glibc
import Storage

/// The cache directory of huggingface_hub: `models--org--name/{blobs,refs,snapshots}`.
///
/// Each snapshot becomes a revision, each ref a ref. `blobs/*.incomplete` are unfinished downloads.
enum HubCache {
    static func isModel(_ path: String) -> Bool {
        FileSystem.name(of: path).hasPrefix("models--") && FileSystem.exists(path + "/snapshots")
    }

    /// - Parameters:
    ///   - name: the model's name; nil derives it from the path.
    ///   - store: the directory of the store, which is left out; nil if there is none.
    static func sources(ofModel path: String, name: String?, store: String?) throws -> [ImportSource] {
        let model = try ModelName.check(
            name
                ?? FileSystem.name(of: path).dropFirst("models--".count).split(separator: "--", maxSplits: 1)
                .joined(separator: "/"))
        var refs: [String: [String]] = [:]
        for (ref, location) in try files(path + "/refs") {
            let commit = String(decoding: try FileSystem.read(location), as: UTF8.self)
            refs[commit.filter { !$0.isWhitespace }, default: []].append(ref)
        }
        var halves = try FileSystem.entries(path + "/blobs").filter { $0.hasSuffix(".incomplete") }
            .map { SkippedFile(path: "\(path)/blobs/\($0)", reason: "download not finished") }
        var snapshots: [(source: ImportSource, modified: Int64)] = []
        let bounds = try SourceBounds([path, path + "/blobs"], store: store)
        for commit in try FileSystem.entries(path + "/snapshots") {
            let location = path + "/snapshots/" + commit
            guard let status = try FileSystem.status(location), status.isDirectory else { continue }
            guard CommitName.isValid(commit) else {
                halves.append(SkippedFile(path: location, reason: "the name is not a commit"))
                continue
            }
            var source = ImportSource(
                model: model, location: location, commit: commit, refs: refs[commit] ?? [], mustBeComplete: false)
            try source.walk(location, "", bounds)
            if source.files.isEmpty {
                halves.append(SkippedFile(path: location, reason: "the snapshot holds no file"))
                halves += source.skipped
            } else {
                snapshots.append((source, status.modified))
            }
        }
        // Versions are numbered in the order in which the snapshots were made.
        snapshots.sort { ($0.modified, $0.source.location) < ($1.modified, $1.source.location) }
        var sources = snapshots.map(\.source)
        guard !sources.isEmpty else {
            throw StorageError.notFound(kind: "snapshot", name: path, detail: "The cache holds no file of the model.")
        }
        sources[0].skipped += halves
        return sources
    }

    /// The files below a directory, by relative path: a ref may be named `refs/pr/1`.
    private static func files(_ root: String, _ prefix: String = "") throws -> [(String, String)] {
        try FileSystem.entries(root).flatMap { name -> [(String, String)] in
            let path = root + "/" + name
            let isDirectory = try FileSystem.status(path)?.isDirectory == true
            return isDirectory ? try files(path, prefix + name + "/") : [(prefix + name, path)]
        }
    }
}
