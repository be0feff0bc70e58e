import Storage

/// A revision that was not imported although the import has succeeded for others of the same source.
public struct ImportFailure: Sendable, Codable, Equatable {
    /// `org/name`.
    public var model: String
    /// The path of the snapshot, or of the folder of the model.
    public var source: String
    /// Why it was not imported.
    public var reason: String
}

extension ImportSource {
    /// Whether an error is one of this source, such as a damaged file: the other sources of a cache are imported
    /// nevertheless. Errors of the store, of an origin and a cancellation end the import.
    ///
    /// - Parameter location: the directory of the source.
    static func isRefusal(_ error: any Error, of location: String) -> Bool {
        switch StoreError(error) {
        case .blobDiffers, .format, .incomplete, .sourceChanged, .moveInterrupted, .storage(.invalid), .file(.tooLarge):
            true
        case .file(.system(_, let path, _)): SourceBounds.contains(location, path)
        default: false
        }
    }
}
