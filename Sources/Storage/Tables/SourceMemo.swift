/// The stored shards and the digest of a source file, so that a repeated import does not hash them again.
///
/// As in `make` and `git`, a file is considered unchanged if device, inode, size and both times are the same. `touch`
/// cannot reset the change time, and a file that changed within the clock's tick before it was read is not
/// remembered (see `FileIngest.memo`).
package struct SourceMemo {
    /// The digest of the whole file, if all of it was read.
    package var digest: ContentDigest?
    /// The digest of the plan; nil if an older version made the memo.
    package var plan: ContentDigest?
    /// The stored shards, by their numbers in the plan.
    package var shards: [Int: ShardFacts]
}
