/// What is remembered of source files, so that what is safe already is not hashed again.
///
/// A file is taken for unchanged if device, inode, size and both times are what they were, as `make` and `git` do.
/// The change time can't be set back by `touch`, and a file that changed within the clock's tick before it was read
/// is not remembered at all (see `FileIngest.memo`).
package struct SourceMemo {
    /// The digest of the whole file, if all of it was read.
    package var digest: ContentDigest?
    /// The shards that are safe, by their ordinals in the file's plan.
    package var shards: [Int: ShardFacts]
}
