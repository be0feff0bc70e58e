import Storage
import TestSupport

/// The changes that a command may make to the catalog.
extension SequenceModel {
    /// Compares the changes of a command with the allowed ones, and applies them to the model.
    ///
    /// - Parameters:
    ///   - status: the exit status; 128 + 9 if it was killed.
    ///   - after: the contents of the catalog now.
    ///   - now: its facts about shards now.
    ///   - old: the state before the command.
    ///   - new: the state after it.
    /// - Throws: ``SequenceFailure`` with the rule that does not hold.
    mutating func follow(
        _ command: SequenceCommand, _ status: Int32, _ after: CatalogListing, _ now: ShardListing,
        _ old: SequenceState, _ new: SequenceState
    ) throws {
        let before = listing
        let (didHold, shardsBefore, wasOlder) = (hasLoss, shards, newest != nil)
        let isExpected = [0, 137].contains(status) || mayRefuse(command, status, old, new)
        defer { catalog = now }
        completePulls(command, after)
        // The restored catalog was not older: otherwise this would have been refused.
        if command.deletes, mayBeCurrent, status == 0 || status == 137 && after != before { newest = nil }
        // Files that the store itself has written exist.
        let written = suspects.filter { !old.isWhole($0) && new.isWhole($0) }
        suspects.subtract(written)
        known.subtract(written)
        switch status {
        case 137 where after == before: break
        case 137 where command == .merge && newest != nil: try mergedInPart(after, old)
        case 0, 137: try succeed(command, status, after, old, new)
        // The revision was listed before its size was known to exceed the quota.
        case 5 where command.isPull && after != before: try succeed(command, status, after, old, new)
        case 3 where command == .rebuild || command == .merge: try succeed(command, status, after, old, new)
        default: break
        }
        guard isExpected else {
            throw SequenceFailure("\(command): exit status \(status) is not among those that the rules allow")
        }
        guard after == listing else {
            throw SequenceFailure(
                "\(command) (status \(status)) made another change than it may\n    "
                    + after.differences(from: listing))
        }
        if !new.isMounted, status == 0, after != before || command.name == "gc" {
            throw SequenceFailure("\(command) succeeded, and the blobs are not mounted")
        }
        if command == .merge || command == .rebuild, [0, 3].contains(status) {
            for shard in shards where now.evicted.contains(shard) && new.isWhole(shard) {
                throw SequenceFailure("after \(command), shard \(shard.short) is stored, and is listed as evicted")
            }
        }
        // A command that was killed may have set it, or made a catalog without one.
        if status == 137 { quota = now.quota }
        try checkHold(command, status, didHold: didHold, holds: now.holds, new)
        try checkBlobs(command, from: before, now, old, new)
        try checkRecords(command, status, new)
        if !wasOlder { try checkQuota(command, now, old, new) }
        try checkMissing(command, status, old)
        hasLoss = now.holds
        free.formUnion(shardsBefore.subtracting(shards))
        // A claim of an earlier import does not start the grace period again.
        if case .importing = command { free.subtract(now.claims.subtracting(catalog.claims).map(\.shard)) }
        followChecks(command, status, new)
        try followMove(command, status, now, old, new)
        if [0, 3, 12].contains(status) { try followRepair(command, new) }
        try settlePulls(command)
    }

    /// Checks that blobs which belong to no revision are kept after a rebuild, until the user confirms that they are
    /// garbage.
    private mutating func checkHold(
        _ command: SequenceCommand, _ status: Int32, didHold: Bool, holds: Bool, _ new: SequenceState
    ) throws {
        let (shards, revisions) = (self.shards, Set(listing.revisions.keys.map(\.digest)))
        let unlisted = new.whole.keys.filter { name in
            switch name.kind {
            case .shard: !shards.contains(name.digest)
            case .manifest: !revisions.contains(name.digest)
            case .record: false
            }
        }
        if command == .rebuild, [0, 3].contains(status), !unlisted.isEmpty, !holds {
            throw SequenceFailure(
                "after \(command), \(unlisted.count) blobs belong to no revision, and gc may delete them")
        }
        if holds, !didHold, ![.rebuild, .merge].contains(command) {
            throw SequenceFailure("\(command) has made gc keep blobs")
        }
        // Blobs that this command deletes were kept before it, unless it discards them.
        hasLoss = didHold && command != .discardNewer
    }

    /// Checks that an import or a read has stored nothing above the quota.
    private func checkQuota(
        _ command: SequenceCommand, _ now: ShardListing, _ old: SequenceState, _ new: SequenceState
    ) throws {
        guard let quota else { return }
        switch command {
        case .importing, .export, .pull: break
        default: return
        }
        func bytes(_ present: Set<ContentDigest>, _ state: SequenceState) -> Int {
            present.reduce(0) { $0 + (state.whole[.init(digest: $1, kind: .shard)] ?? 0) }
        }
        let (before, after) = (bytes(catalog.present, old), bytes(now.present, new))
        guard after <= max(quota, before) else {
            throw SequenceFailure("after \(command), \(after) bytes are stored; the quota is \(quota)")
        }
    }

    /// Checks that a collection is refused if many shards are missing: their disk may be gone.
    private func checkMissing(_ command: SequenceCommand, _ status: Int32, _ old: SequenceState) throws {
        guard command.name == "gc", status == 0, old.isMounted, newest == nil else { return }
        let missing = catalog.present.count { shard in
            let name = BlobDirectory.Name(digest: shard, kind: .shard)
            return old.whole[name] == nil && !old.damaged.contains(name)
        }
        if missing > 10 { throw SequenceFailure("\(command) has accepted that \(missing) shards are missing") }
    }

    /// Checks that no record is left of an interrupted change, which would list its model again at a rebuild.
    private func checkRecords(_ command: SequenceCommand, _ status: Int32, _ new: SequenceState) throws {
        guard status == 0, new.isMounted, newest == nil, !lacksDescription, !hasLoss else { return }
        switch command {
        case .collect, .discardNewer, .remove, .tag, .pin: break
        default: return
        }
        let records = new.whole.keys.count { $0.kind == .record }
        guard records <= listing.models.count else {
            throw SequenceFailure("after \(command), there are \(records) records of \(listing.models.count) models")
        }
    }

    // MARK: Success

    private mutating func succeed(
        _ command: SequenceCommand, _ status: Int32, _ after: CatalogListing, _ old: SequenceState,
        _ new: SequenceState
    ) throws {
        switch command {
        case .importing(let place, let model, let ref, _, let origin, let trust):
            try imported(place, model, ref ?? "main", origin, trust, after, old, new)
        case .tag(let name, let ref):
            guard let key = listing.revision(name) else { throw SequenceFailure("\(command): there is no \(name)") }
            listing.move(ref, to: key)
        case .untag(let name):
            guard let key = listing.revision(name), let ref = name.split(separator: "@").last else {
                throw SequenceFailure("\(command): there is no \(name)")
            }
            listing.revisions[key]?.refs.remove(String(ref))
        case .pin(let name), .unpin(let name):
            guard let key = listing.revision(name) else { throw SequenceFailure("\(command): there is no \(name)") }
            listing.revisions[key]?.isPinned = command == .pin(name)
        case .quota(let bytes): quota = bytes
        case .remove(let names, let force): try removed(names, force: force)
        case .prune(let keepLast, let includeReferenced): try pruned(keepLast, includeReferenced, after, new)
        case .discardNewer:
            // No eviction relies on the checks of a catalog that was older.
            if newest != nil { checked = [] }
            newest = nil
            forgetMoves { key in !after.revisions.keys.contains(key) }
        case .rebuild: try rebuilt(after, old)
        case .merge: try merged(after, old)
        case .backUp:
            (backup, backupQuota, backupHasLoss) = (listing, quota, hasLoss)
            (backupBlocks, backupChecked) = (possibleBlocks, checked)
        case .addOrigin(let name, let place, let trust):
            let url = url(place)
            let keys = (listing.all(name) ?? []).filter { key in
                trust || new.holds(url, bytes[key.digest]?.files ?? [:])
            }
            for key in keys {
                listing.revisions[key]?.origins.insert(url)
                checked.insert(Pair(revision: key, url: url))
            }
        case .removeOrigin(let name, let place, _):
            let url = url(place)
            for key in listing.all(name) ?? [] { listing.revisions[key]?.origins.remove(url) }
        case .pull(let layer): try pulled(layer, isDone: status == 0, after, old, new)
        case .collect, .evict, .verify, .checkOrigins, .export, .putBlocks, .getBlocks, .evictBlocks: break
        }
    }

    private mutating func imported(
        _ place: Int, _ model: String, _ ref: String, _ origin: Int?, _ trust: Bool, _ after: CatalogListing,
        _ old: SequenceState, _ new: SequenceState
    ) throws {
        let source = old.places[place] ?? [:]
        let move = Move(place: place, model: model)
        if source.isEmpty {
            // The import had only to complete a move.
            guard moves[move] != nil else { throw SequenceFailure("an import of nothing succeeded") }
            return
        }
        guard let key = after.target(of: ref, in: model), let bytes = bytes[key.digest] else {
            throw SequenceFailure("an import succeeded, and \(model) has no ref \(ref)")
        }
        for (path, digest) in source where bytes.files[path] != digest {
            throw SequenceFailure("\(key) has not the bytes of d\(place)/\(path) that were imported")
        }
        for (path, digest) in bytes.files where source[path] == nil {
            guard moved.contains(MovedFile(model: model, path: path, digest: digest)) else {
                throw SequenceFailure("\(key) has a file \(path) that d\(place) had not")
            }
        }
        if let all = moves[move], bytes.files != all {
            throw SequenceFailure("\(key) has not all files of the interrupted move from d\(place)")
        }
        if let origin, !trust, !old.holds(url(origin), bytes.files) {
            throw SequenceFailure("\(key) was imported with an origin that does not hold it")
        }
        listing.models.insert(model)
        for unfinished in listing.keys(of: model) where listing.revisions[unfinished]?.version == nil {
            // One that the new revision contains is replaced.
            if unfinished != key, after.revisions[unfinished] == nil,
                Set(self.bytes[unfinished.digest]?.files.values ?? [:].values).isSubset(of: bytes.files.values)
            {
                listing.revisions[unfinished] = nil
            }
        }
        if listing.revisions[key]?.version == nil {
            let version = after.revisions[key]?.version ?? 0
            guard version > listing.newestVersion(of: model) else {
                throw SequenceFailure("\(key) has version \(version), and there is a newer one already")
            }
            listing.revisions[key, default: .init()].version = version
        }
        listing.move(ref, to: key)
        if let origin {
            let url = url(origin)
            listing.revisions[key]?.origins = [url]
            // The directory may have held other revisions before.
            checked = checked.filter { $0.url != url }
            checked.insert(Pair(revision: key, url: url))
        }
        try stored(key, bytes, after, new)
        moves[move] = nil
        removedAfterBackup.remove(key)
    }

    /// An import that succeeded has the bytes, or an origin has them.
    private mutating func stored(
        _ key: Key, _ bytes: RevisionBytes, _ after: CatalogListing, _ new: SequenceState
    ) throws {
        for shard in bytes.shards.keys {
            if known.contains(shard), new.isWhole(shard) {
                known.remove(shard)
                suspects.remove(shard)
            }
            let isExcused = suspects.contains(shard) && !known.contains(shard)
            guard isExcused || isObtainable(shard, in: after, new) else {
                throw SequenceFailure("\(key) was imported, and its shard \(shard.short) is nowhere")
            }
        }
    }

    private mutating func removed(_ names: [String], force: Bool) throws {
        for name in names {
            guard let keys = listing.all(name) else { throw SequenceFailure("rm: there is no \(name)") }
            for key in keys where listing.revisions[key]?.isPinned == true && !force {
                throw SequenceFailure("rm has removed the pinned revision \(key)")
            }
            for key in keys where held.contains(key) {
                throw SequenceFailure("rm has removed \(key), which is in use")
            }
        }
        let keys = Set(names.flatMap { listing.all($0) ?? [] })
        for key in keys { listing.revisions[key] = nil }
        listing.models.subtract(names)
        forgetMoves { keys.contains($0) }
    }

    private mutating func pruned(
        _ keepLast: Int?, _ includeReferenced: Bool, _ after: CatalogListing, _ new: SequenceState
    ) throws {
        let gone = Set(listing.revisions.keys).subtracting(after.revisions.keys)
        for (key, revision) in listing.revisions {
            let newer = listing.keys(of: key.model).compactMap { listing.revisions[$0]?.version }.sorted(by: >)
            let isKept =
                revision.version == nil || revision.refs.contains("main")
                || !includeReferenced && !revision.refs.isEmpty
                || keepLast.map { newer.prefix($0).contains(revision.version ?? 0) } ?? false
            if gone.contains(key) {
                if isKept || revision.isPinned || held.contains(key) {
                    throw SequenceFailure("prune has removed \(key) \(revision.text)")
                }
            } else if !isKept, !revision.isPinned, !held.contains(key) {
                // It may be kept only for evicted shards that others need.
                guard bytes[key.digest]?.shards.keys.contains(where: { !new.isWhole($0) }) ?? true else {
                    throw SequenceFailure("prune has kept \(key) \(revision.text)")
                }
            }
        }
        for key in gone { listing.revisions[key] = nil }
        forgetMoves { gone.contains($0) }
    }

    private mutating func rebuilt(_ after: CatalogListing, _ old: SequenceState) throws {
        quota = nil
        // No eviction relies on checks that later ones may have refuted.
        checked = []
        if let newest { listing = newest }
        newest = nil
        // The record that a killed change has left may be used: the change is then made, or undone.
        if hasLeftover(old) {
            let removed = Set(listing.revisions.keys).subtracting(after.revisions.keys)
            removedAfterBackup.formUnion(Set(after.revisions.keys).subtracting(listing.revisions.keys))
            forgetMoves { removed.contains($0) }
            listing = after
        }
        // The revisions of a lost manifest or record are lost; gc then keeps their blobs. Revisions that a merge has
        // listed again after they were removed have no manifest, either.
        guard lacksDescription || !removedAfterBackup.isEmpty, after != listing else { return }
        let gone = Set(listing.revisions.keys).subtracting(after.revisions.keys)
        for key in gone where old.whole[.init(digest: key.digest, kind: .manifest)] != nil {
            let others = after.keys(of: key.model)
            guard others.isEmpty else { throw SequenceFailure("rebuild has lost \(key), whose manifest is there") }
        }
        forgetMoves { gone.contains($0) }
        listing = after
        lacksDescription = false
    }

    /// Whether a killed change has left a record.
    private func hasLeftover(_ old: SequenceState) -> Bool {
        old.whole.keys.count { $0.kind == .record } > listing.merging(newest).models.count
    }

    private mutating func merged(_ after: CatalogListing, _ old: SequenceState) throws {
        guard let newest else { return }
        try requireMerged(newest, in: after)
        for key in after.revisions.keys where newest.revisions[key] == nil {
            guard listing.revisions[key] != nil || hasLeftover(old) else {
                throw SequenceFailure("the merge has made \(key)")
            }
            removedAfterBackup.insert(key)
        }
        // The checks of a catalog that is not older count.
        if !mayBeCurrent { checked = [] }
        listing = after
        self.newest = nil
    }

    /// Checks that newer revisions are listed. Those that were removed after the backup may be listed again.
    private func requireMerged(_ newest: CatalogListing, in listing: CatalogListing) throws {
        for (key, revision) in newest.revisions {
            guard let merged = listing.revisions[key] else {
                throw SequenceFailure("the merge lacks \(key) \(revision.text)")
            }
            guard merged.refs.isSuperset(of: revision.refs), merged.origins.isSuperset(of: revision.origins),
                merged.isPinned || !revision.isPinned, (merged.version == nil) == (revision.version == nil)
            else {
                throw SequenceFailure("the merge has \(key) \(merged.text), and not \(revision.text)")
            }
        }
    }

    /// A killed merge has added the newer records of some models, each in a transaction. The catalog stays older, unless
    /// the merge was killed after its last transaction.
    private mutating func mergedInPart(_ after: CatalogListing, _ old: SequenceState) throws {
        for key in after.revisions.keys where listing.merging(newest).revisions[key] == nil {
            guard hasLeftover(old) else { throw SequenceFailure("the merge has made \(key)") }
            removedAfterBackup.insert(key)
        }
        for key in listing.revisions.keys where after.revisions[key] == nil && newest?.revisions[key] != nil {
            throw SequenceFailure("the merge has removed \(key)")
        }
        listing = after
        hasMergedInPart = true
        checked = []
    }

    /// Whether a catalog that was put back may be current: it was not older, or a killed merge has come to its end.
    private var mayBeCurrent: Bool {
        guard let newest else { return false }
        return listing == newest || hasMergedInPart && (try? requireMerged(newest, in: listing)) != nil
    }

    // MARK: Refusals

    /// Whether the rules allow that a command is refused with a status.
    private func mayRefuse(
        _ command: SequenceCommand, _ status: Int32, _ old: SequenceState, _ new: SequenceState
    ) -> Bool {
        if !old.isMounted { return true }
        if newest != nil, command.deletes, status == 7 { return true }
        /// Whether a shard of revisions is not stored.
        func isAbsent(_ keys: [Key]) -> Bool {
            keys.contains { isPending($0) || bytes[$0.digest]?.shards.keys.contains { !old.isWhole($0) } ?? true }
        }
        let all = Array(listing.revisions.keys) + Array(newest.map { Array($0.revisions.keys) } ?? [])
        let isSilent = all.contains { key in
            (listing.revisions[key]?.origins ?? []).contains { !old.answers($0) }
        }
        switch (command, status) {
        case (.importing(let place, _, _, let move, _, _), 2):
            return old.places[place]?.isEmpty ?? true || move && moves.keys.contains { $0.place == place }
        case (.importing(let place, let model, _, let move, let origin, let trust), 6):
            let source = old.places[place] ?? [:]
            let isSplit = source.keys.contains { $0.hasSuffix(".index.json") }
            let hasOther = moves.keys.contains { $0.place == place && $0.model != model }
            let isNoModel = !source.keys.contains { SequenceFiles.isWeights($0) || $0 == "config.json" }
            let files = moves[Move(place: place, model: model)] ?? source
            return isNoModel || isSplit || hasOther || move && origin == place || !moved.isEmpty
                || !trust && (origin.map { !old.holds(url($0), files) || !new.holds(url($0), files) } ?? false)
        case (.importing(_, _, _, _, let origin?, _), 12): return old.places[origin] == nil
        case (.importing, 5): return quota != nil
        case (.pull(let layer), _): return mayRefusePull(layer, status, old)
        case (.tag(let name, _), 2), (.pin(let name), 2), (.unpin(let name), 2), (.untag(let name), 2),
            (.putBlocks(let name, _), 2):
            return listing.revision(name) == nil
        case (.getBlocks(let name, let prompt), 2):
            return listing.revision(name).map { fewestBlocks(prompt, of: $0.digest) == 0 } ?? true
        // A block whose file is gone is dropped, which an older catalog does not allow.
        case (.getBlocks, 7), (.evictBlocks, 7): return newest != nil
        case (.addOrigin(let name, _, _), 2): return listing.all(name) == nil
        case (.addOrigin(let name, let place, let trust), 6):
            return !trust
                && (listing.all(name) ?? []).allSatisfy { !old.holds(url(place), bytes[$0.digest]?.files ?? [:]) }
        case (.addOrigin(_, let place, let trust), 12): return !trust && old.places[place] == nil
        case (.removeOrigin(let name, let place, _), 2):
            return !(listing.all(name) ?? []).contains { key in
                listing.revisions[key]?.origins.contains { SequenceState.place(of: $0) == place } ?? false
            }
        case (.removeOrigin(let name, _, force: false), 4): return isAbsent(listing.all(name) ?? [])
        case (.remove(let names, _), 2): return names.contains { listing.all($0) == nil }
        case (.remove(let names, let force), 4):
            let keys = names.flatMap { listing.all($0) ?? [] }
            return isAbsent(keys) || !held.isDisjoint(with: keys)
                || !force && keys.contains { listing.revisions[$0]?.isPinned == true }
        case (.evict, 12), (.checkOrigins, 12), (.verify(origins: true), 12): return isSilent
        case (.collect, 3), (.discardNewer, 3):
            return suspects.count > 10 || newest != nil || !removedAfterBackup.isEmpty
        case (.verify, 3), (.merge, 3): return isAbsent(all) || !suspects.isEmpty || hasLoss
        case (.rebuild, 4): return !held.isEmpty
        case (.rebuild, 3):
            return isAbsent(all) || !suspects.isEmpty || lacksDescription || hasLoss || !removedAfterBackup.isEmpty
        case (.export(let name), _):
            return listing.revision(name).map { !isReadable($0, old) } ?? (status == 2)
        default: return false
        }
    }

    /// Removed revisions need no longer hold the files that moves have removed.
    private mutating func forgetMoves(_ isGone: (Key) -> Bool) {
        let gone = bytes.keys.filter { digest in
            Set(listing.models).union(moved.map(\.model)).contains { isGone(Key(model: $0, digest: digest)) }
        }
        let files = Set(gone.flatMap { bytes[$0]?.files.values ?? [:].values })
        moved = moved.filter { !files.contains($0.digest) }
        let models = Set(moved.map(\.model))
        moves = moves.filter { models.contains($0.key.model) }
    }

    // MARK: Traces of commands

    private mutating func followChecks(_ command: SequenceCommand, _ status: Int32, _ new: SequenceState) {
        guard command.mayEvict(quota) || command.checks else { return }
        for (key, revision) in listing.revisions {
            for url in revision.origins {
                let pair = Pair(revision: key, url: url)
                if new.holds(url, bytes[key.digest]?.files ?? [:]) {
                    checked.insert(pair)
                } else if command.checks, [0, 12].contains(status), new.answers(url) {
                    checked.remove(pair)
                }
            }
        }
    }

    /// Notes the files that a move has removed from its directory.
    private mutating func followMove(
        _ command: SequenceCommand, _ status: Int32, _ now: ShardListing, _ old: SequenceState, _ new: SequenceState
    ) throws {
        guard case .importing(let place, let model, _, _, _, _) = command, let source = old.places[place] else {
            return
        }
        let gone = source.filter { new.places[place]?[$0.key] != $0.value }
        if gone.isEmpty { return }
        for (path, digest) in gone {
            let isStored = listing.revisions.keys.contains { key in
                bytes[key.digest]?.parts[digest]?.allSatisfy {
                    // Bytes that have changed on the disk are found by verify alone.
                    new.isWhole($0) || new.damaged.contains(.init(digest: $0, kind: .shard)) || now.evicted.contains($0)
                } ?? false
            }
            guard isStored else { throw SequenceFailure("\(command) has removed \(path), which is not stored") }
        }
        for (path, digest) in gone { moved.insert(MovedFile(model: model, path: path, digest: digest)) }
        let left = new.places[place] ?? [:]
        let move = Move(place: place, model: model)
        // A move that was killed after it had removed its last file is still recorded.
        moves[move] = left.isEmpty && status == 0 ? nil : moves[move] ?? source
        // The store has changed an origin itself.
        checked = checked.filter { SequenceState.place(of: $0.url) != place }
    }

    private mutating func followRepair(_ command: SequenceCommand, _ new: SequenceState) throws {
        guard new.isMounted, newest == nil else { return }
        switch command {
        case .verify:
            suspects = suspects.filter { !new.isWhole($0) }
            known = suspects
        case .collect, .rebuild, .merge, .discardNewer: suspects = suspects.filter { !new.isWhole($0) }
        default: return
        }
        known.formIntersection(suspects)
        if command == .rebuild || command == .merge { return }
        for key in listing.revisions.keys where new.whole[.init(digest: key.digest, kind: .manifest)] == nil {
            throw SequenceFailure("after \(command), the manifest of \(key) is not there")
        }
        lacksDescription = false
    }
}

extension SequenceCommand {
    /// Whether it is refused while the catalog is older than the blobs.
    var deletes: Bool {
        switch self {
        case .collect, .evict, .remove, .prune: true
        default: false
        }
    }

    /// Whether it requests from the origins.
    var checks: Bool {
        switch self {
        case .checkOrigins, .verify(origins: true): true
        default: false
        }
    }

    /// Whether it may evict shards.
    func mayEvict(_ quota: Int?) -> Bool {
        switch self {
        case .evict, .collect(_, downTo: .some): true
        case .importing, .export, .pull, .remove, .prune, .quota: quota != nil
        default: false
        }
    }

    /// Whether it changes the catalog in a way that an older catalog should not see.
    var isChange: Bool {
        switch self {
        case .importing, .tag, .untag, .pin, .unpin, .quota, .backUp, .addOrigin, .removeOrigin, .putBlocks, .pull:
            true
        default: false
        }
    }

    var isPull: Bool { if case .pull = self { true } else { false } }
}
