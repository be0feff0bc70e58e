import Storage

/// A shard whose bytes have arrived from an origin, and have its digest. It is not in the store before `Store.commit`.
struct FetchedShard: Sendable {
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
