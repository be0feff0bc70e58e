import Storage

/// KV blocks may be lost, and are never wrong: a revision gives the blocks that were put for it, or the first of them.
extension SequenceModel {
    /// The most blocks of a prompt that a revision may have.
    func mostBlocks(_ prompt: Int, of revision: ContentDigest) -> Int {
        SequencePrompt.most(prompt, of: possibleBlocks[revision] ?? [])
    }

    /// The fewest blocks of a prompt that a revision must have.
    func fewestBlocks(_ prompt: Int, of revision: ContentDigest) -> Int {
        certainBlocks[revision]?.contains(prompt) == true ? SequencePrompt.blocks : 0
    }

    /// Checks the blocks that a store gives for a prompt.
    ///
    /// - Parameters:
    ///   - bytes: those of all blocks that were found, in order.
    ///   - when: begins the message of a failure.
    func checkBlocks(_ bytes: [UInt8], of prompt: Int, _ key: Key, _ when: String) throws {
        let (found, rest) = bytes.count.quotientAndRemainder(dividingBy: SequencePrompt.blockBytes)
        let (fewest, most) = (fewestBlocks(prompt, of: key.digest), mostBlocks(prompt, of: key.digest))
        guard rest == 0, found >= fewest, found <= most else {
            throw SequenceFailure(
                "\(when)\(key) has \(bytes.count) bytes of the KV blocks of prompt \(prompt): expected \(fewest) to "
                    + "\(most) blocks of \(SequencePrompt.blockBytes) bytes")
        }
        guard bytes == Array(SequencePrompt.bytes(prompt).prefix(bytes.count)) else {
            throw SequenceFailure("\(when)\(key) has other bytes than the KV blocks that were put for prompt \(prompt)")
        }
    }

    /// Notes the blocks that a command may have stored, and those that it may have lost.
    ///
    /// - Parameters:
    ///   - before: the contents of the catalog before the command.
    ///   - status: the exit status; 128 + 9 if it was killed.
    ///   - output: what the command has printed.
    mutating func followBlocks(
        _ command: SequenceCommand, from before: CatalogListing, _ status: Int32, _ output: String
    ) {
        let listed = Set(listing.revisions.keys.map(\.digest))
        switch command {
        case .putBlocks(let name, let prompt):
            guard let digest = listing.revision(name)?.digest else { break }
            possibleBlocks[digest, default: []].insert(prompt)
            if status == 0, !lacksBlocks, output.contains(", 0 not kept") {
                certainBlocks[digest, default: []].insert(prompt)
            }
        case .evictBlocks, .merge: certainBlocks = [:]
        case .backUp where status != 0: backupBlocks.merge(possibleBlocks) { $0.union($1) }
        case .rebuild:
            certainBlocks = [:]
            if status == 0 || status == 3 { (possibleBlocks, lacksBlocks) = ([:], false) }
        case .collect where status == 0: lacksBlocks = false
        case .remove, .prune:
            // A removal that was killed may leave blocks until the next collection: they are right if the revision is
            // imported again.
            guard status == 0 else { break }
            for key in before.revisions.keys where !listed.contains(key.digest) { possibleBlocks[key.digest] = nil }
        default: break
        }
        certainBlocks = certainBlocks.filter { listed.contains($0.key) }
    }
}
