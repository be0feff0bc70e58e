import Files
import Storage

/// A shard whose bytes have arrived from an origin, and have its digest. It is not in the store before `Store.commit`.
package struct FetchedShard: Sendable {
    /// Receives the file of a shard when it was checked, before it is durable, on the thread that then makes it durable.
    package typealias Receiver = @Sendable (StagedFile) -> Void

    let digest: ContentDigest
    let bytes: Int
    /// The file with the bytes, sealed or synced.
    let staged: StagedFile?
    /// The origin.
    let url: String
    /// The model from which it was fetched.
    let model: String
    /// The duration of the fetch.
    let seconds: Double
}
