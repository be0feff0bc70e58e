/// A revision compared with what a hub lists, file by file.
public struct HubComparison: Sendable, Codable {
    /// A file of the revision, or of the hub.
    public struct File: Sendable, Codable, Equatable {
        /// The result for one file.
        public enum State: String, Sendable, Codable {
            /// The hub publishes the digest that the file has here.
            case same
            /// The hub publishes another size or digest.
            case differs
            /// The revision has no such file.
            case missingHere
            /// The hub has no such file.
            case missingThere
            /// There is no digest to compare: bytes are not stored here, or the hub publishes none.
            case unchecked
        }

        /// The path in the revision.
        public let path: String
        /// The result.
        public let state: State
        /// Why it is not ``State/same``; nil if it is, and for a missing file.
        public let reason: String?
    }

    /// `org/name@~3`.
    public let revision: String
    /// The URL of the hub.
    public let hub: String
    /// The hub's commit: 40 hexadecimal digits.
    public let commit: String
    /// All files of both, by path.
    public let files: [File]

    /// The files with a result.
    ///
    /// - Parameter state: the result.
    public func files(with state: File.State) -> [File] { files.filter { $0.state == state } }
}
