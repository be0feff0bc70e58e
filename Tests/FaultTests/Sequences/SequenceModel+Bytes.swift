import Storage

/// Which bytes must be readable, and which deletions are allowed.
extension SequenceModel {
    /// Whether a shard is stored, or an origin of one of its holders has the whole holder.
    func isObtainable(_ shard: ContentDigest, in listing: CatalogListing, _ state: SequenceState) -> Bool {
        if state.isWhole(shard), !suspects.contains(shard) { return true }
        return isHeld(shard, in: listing, state)
    }

    /// Whether an origin of one of a shard's holders has the whole holder.
    private func isHeld(_ shard: ContentDigest, in listing: CatalogListing, _ state: SequenceState) -> Bool {
        holders(of: shard, in: listing).contains { holder in
            (listing.revisions[holder]?.origins ?? []).contains { state.holds($0, bytes[holder.digest]?.files ?? [:]) }
        }
    }

    /// Whether a revision must be readable. A file that a killed eviction has left is no stored shard: a collection may
    /// delete it.
    func isReadable(_ key: Key, _ state: SequenceState) -> Bool {
        guard state.isMounted, let bytes = bytes[key.digest] else { return false }
        if bytes.isPending {
            // Only a hub gives bytes whose digests are not known.
            guard let hub = state.hub, listing.revisions[key]?.origins.contains(hub.url) == true else { return false }
            return state.holds(hub.url, bytes.files)
        }
        return bytes.shards.keys.allSatisfy {
            !suspects.contains($0)
                && (catalog.evicted.contains($0)
                    ? isHeld($0, in: listing, state) : isObtainable($0, in: listing, state))
        }
    }

    /// Checks that a command has deleted no blob that it must not delete, and that all bytes that were readable before
    /// are readable now.
    func checkBlobs(
        _ command: SequenceCommand, from before: CatalogListing, _ now: ShardListing, _ old: SequenceState,
        _ new: SequenceState
    ) throws {
        for name in new.damaged where !old.damaged.contains(name) {
            throw SequenceFailure("\(command) has stored other bytes as \(name.kind) \(name.digest.short)")
        }
        let (evicted, all) = (catalog.evicted, listing.merging(newest))
        for shard in now.evicted.subtracting(evicted) { try checkEviction(of: shard, command, all, new) }
        for name in old.whole.keys where new.whole[name] == nil {
            switch name.kind {
            case .shard:
                if evicted.contains(name.digest) || now.evicted.contains(name.digest) { continue }
                try checkDeletion(of: name.digest, command, all)
            case .manifest:
                for key in all.revisions.keys where key.digest == name.digest {
                    throw SequenceFailure("\(command) has deleted the manifest of \(key)")
                }
            case .record: break
            }
        }
        if case .removeOrigin(_, _, force: true) = command { return }
        for key in listing.revisions.keys where before.revisions[key] != nil {
            for shard in bytes[key.digest]?.shards.keys ?? [:].keys {
                guard isObtainable(shard, in: before, old), !isObtainable(shard, in: listing, new) else { continue }
                let isAllowed =
                    evicted.contains(shard) || isUnnoticed(shard, command, old)
                    || command.mayEvict(quota)
                        && holders(of: shard, in: listing).allSatisfy { isCovered($0, in: listing, new) }
                if !isAllowed {
                    throw SequenceFailure("after \(command), no origin gives shard \(shard.short) of \(key)")
                }
            }
        }
        for file in moved where !isKept(file, new) {
            throw SequenceFailure("after \(command), \(file.model) has not \(file.path), which a move has taken")
        }
    }

    private func checkDeletion(of shard: ContentDigest, _ command: SequenceCommand, _ all: CatalogListing) throws {
        let holders = holders(of: shard, in: all)
        guard holders.isEmpty else {
            throw SequenceFailure("\(command) has deleted shard \(shard.short) of \(holders)")
        }
        if catalog.blocks.contains(shard) { return }
        if hasLoss, case .collect = command {
            throw SequenceFailure(
                "\(command) has deleted shard \(shard.short), which may belong to what a rebuild has lost")
        }
        if case .collect(grace: nil, _) = command, !free.contains(shard) {
            throw SequenceFailure("\(command) has deleted the new shard \(shard.short) within the grace period")
        }
    }

    /// Checks that every holder of a shard that has been evicted can fetch it again.
    private func checkEviction(
        of shard: ContentDigest, _ command: SequenceCommand, _ all: CatalogListing, _ new: SequenceState
    ) throws {
        // These find that the shard was evicted before.
        if [.rebuild, .merge, .discardNewer].contains(command) { return }
        let holders = holders(of: shard, in: all)
        guard command.mayEvict(quota) || holders.isEmpty else {
            throw SequenceFailure("\(command) has evicted shard \(shard.short) of \(holders)")
        }
        for holder in holders {
            if held.contains(holder) {
                throw SequenceFailure("\(command) has evicted shard \(shard.short) of \(holder), which is in use")
            }
            if all.revisions[holder]?.isPinned == true {
                throw SequenceFailure("\(command) has evicted shard \(shard.short) of \(holder), which is pinned")
            }
            guard isCovered(holder, in: all, new) else {
                throw SequenceFailure(
                    "\(command) has evicted shard \(shard.short) of \(holder), which no origin holds, or was seen to hold"
                )
            }
        }
    }

    /// Whether only `verify` would have found that a shard is not whole. A removal of revisions finds blobs that are gone,
    /// and not those that have other bytes; the removal of an origin reads no blob.
    private func isUnnoticed(_ shard: ContentDigest, _ command: SequenceCommand, _ old: SequenceState) -> Bool {
        switch command {
        case .remove, .prune: old.damaged.contains(.init(digest: shard, kind: .shard))
        case .removeOrigin: !old.isWhole(shard) && catalog.present.contains(shard)
        default: false
        }
    }

    /// Whether an origin of a revision holds it, or was seen to hold it within the last hour.
    private func isCovered(_ key: Key, in listing: CatalogListing, _ state: SequenceState) -> Bool {
        (listing.revisions[key]?.origins ?? []).contains { url in
            checked.contains(Pair(revision: key, url: url)) || state.holds(url, bytes[key.digest]?.files ?? [:])
        }
    }

    /// Whether a file that a move has removed is in a revision of its model, or at its place.
    private func isKept(_ file: MovedFile, _ state: SequenceState) -> Bool {
        let all = listing.merging(newest)
        return all.keys(of: file.model).contains { bytes[$0.digest]?.files.values.contains(file.digest) ?? false }
            || state.places.contains { $0?[file.path] == file.digest }
    }
}

extension CatalogListing {
    /// The revisions of both.
    func merging(_ other: CatalogListing?) -> CatalogListing {
        guard let other else { return self }
        var all = self
        all.models.formUnion(other.models)
        all.revisions.merge(other.revisions) { own, other in
            var both = own
            both.origins.formUnion(other.origins)
            both.isPinned = own.isPinned || other.isPinned
            return both
        }
        return all
    }
}
