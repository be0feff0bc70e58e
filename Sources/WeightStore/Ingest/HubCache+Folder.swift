import Files
import Storage

extension HubCache {
    /// A folder with the models of a cache: `hub`, or the one above it, in which huggingface_hub also keeps its tokens.
    struct Folder {
        /// The path of `hub`, with links resolved.
        let location: String
        /// The names of the folders of models.
        let models: [String]
        /// What lies beside `hub`.
        let skipped: [SkippedFile]

        /// The snapshots of all models. A model that cannot be read does not stop the others: it is a source with a
        /// refusal.
        ///
        /// - Parameter store: the directory of the store, which is not imported; nil if there is none.
        /// - Throws: the first error if there is nothing to import.
        func sources(store: String?) throws -> [ImportSource] {
            var sources: [ImportSource] = []
            var skipped = skipped
            var failure: StorageError?
            for name in models {
                let path = location + "/" + name
                do {
                    sources += try HubCache.sources(ofModel: path, name: nil, store: store)
                } catch let error as StorageError where error.isNotFound {
                    failure = failure ?? error
                    skipped.append(SkippedFile(path: path, reason: "no snapshot holds a file"))
                } catch {
                    guard models.count > 1, ImportSource.isRefusal(error, of: path) else { throw error }
                    sources.append(
                        ImportSource(
                            model: HubCache.modelName(ofFolder: name), location: path, refs: [], mustBeComplete: false,
                            refusal: error))
                }
            }
            if sources.isEmpty, let failure { throw failure }
            if !sources.isEmpty { sources[0].skipped += skipped }
            return sources
        }
    }

    /// The models in a folder, or in the folder `hub` in it; nil if there are none.
    ///
    /// - Parameter location: a directory, with links resolved.
    static func find(in location: String) throws -> Folder? {
        let models = try models(in: location)
        if !models.isEmpty { return Folder(location: location, models: models, skipped: []) }
        guard try FileSystem.status(location + "/hub")?.isDirectory == true else { return nil }
        let hub = try FileSystem.resolve(location + "/hub")
        let inner = try self.models(in: hub)
        if inner.isEmpty { return nil }
        let skipped = try FileSystem.entries(location).filter { $0 != "hub" }.map { name in
            let path = location + "/" + name
            let isDirectory = try FileSystem.status(path)?.isDirectory == true
            let isSecret = ExcludedFile.isSecret(name, isDirectory: isDirectory)
            return SkippedFile(path: path, reason: isSecret ? ExcludedFile.secret : "not in hub, which has the models")
        }
        return Folder(location: hub, models: inner, skipped: skipped)
    }

    private static func models(in location: String) throws -> [String] {
        try FileSystem.entries(location).filter { isModel(location + "/" + $0) }
    }
}

extension StorageError {
    fileprivate var isNotFound: Bool { if case .notFound = self { true } else { false } }
}
