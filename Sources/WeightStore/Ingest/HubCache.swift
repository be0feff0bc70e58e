import Files
import Glibc
import Storage

/// The cache that huggingface_hub keeps: `models--org--name/{blobs,refs,snapshots}`.
///
/// Every snapshot is a revision, every ref a ref. `blobs/*.incomplete` are downloads that were not finished.
enum HubCache {
    static func isModel(_ path: String) -> Bool {
        FileSystem.name(of: path).hasPrefix("models--") && FileSystem.exists(path + "/snapshots")
    }

    static func sources(ofModel path: String, name: String?) throws -> [ImportSource] {
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
            .map { SkippedFile(path: "\(path)/blobs/\($0)", reason: "half downloaded") }
        var snapshots: [(source: ImportSource, modified: Int64)] = []
        for commit in try FileSystem.entries(path + "/snapshots") {
            let location = path + "/snapshots/" + commit
            guard let status = try FileSystem.status(location), status.isDirectory else { continue }
            guard CommitName.isValid(commit) else {
                halves.append(SkippedFile(path: location, reason: "its name is no commit"))
                continue
            }
            var source = ImportSource(
                model: model, location: location, commit: commit, refs: refs[commit] ?? [], mustBeComplete: false)
            try source.walk(location, "")
            if source.files.isEmpty {
                halves.append(SkippedFile(path: location, reason: "no file of it was downloaded"))
                halves += source.skipped
            } else {
                snapshots.append((source, status.modified))
            }
        }
        // Versions follow the order in which the snapshots came.
        snapshots.sort { ($0.modified, $0.source.location) < ($1.modified, $1.source.location) }
        var sources = snapshots.map(\.source)
        guard !sources.isEmpty else {
            throw StorageError.notFound(kind: "snapshot", name: path, detail: "The cache holds no file of the model.")
        }
        sources[0].skipped += halves
        return sources
    }

    /// The files below a directory, by their paths in it: a ref may be called `refs/pr/1`.
    private static func files(_ root: String, _ prefix: String = "") throws -> [(String, String)] {
        try FileSystem.entries(root).flatMap { name -> [(String, String)] in
            let path = root + "/" + name
            let isDirectory = try FileSystem.status(path)?.isDirectory == true
            return isDirectory ? try files(path, prefix + name + "/") : [(prefix + name, path)]
        }
    }
}
