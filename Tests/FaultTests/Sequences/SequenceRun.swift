import Files
import Foundation
import GRDB
import Glibc
import Storage
import TestSupport
@testable import WeightStore

/// A sequence on a store of its own: it runs steps, and after each step compares the store with the model.
final class SequenceRun {
    let directory: SequenceDirectory
    private(set) var model: SequenceModel
    private(set) var state: SequenceState
    /// The steps that were run.
    private(set) var steps: [Step] = []
    /// How often each command ended with each status.
    private(set) var outcomes: [String: Int] = [:]
    /// The lease of this process, which stands for another one that uses a revision.
    private var lease: LeaseDirectory?
    /// It starts with the first revision that is published.
    private var hub: SequenceHub?

    /// The depth of the checks after a step.
    enum Depth: Int, Comparable {
        /// The catalog's list, and the blobs on the disk.
        case listing
        /// Also all readable bytes.
        case bytes
        /// Also `verify` and `gc` on a copy.
        case collection
        /// Also a rebuild.
        case rebuild

        static func < (left: Depth, right: Depth) -> Bool { left.rawValue < right.rawValue }
    }

    init() throws {
        directory = try SequenceDirectory()
        model = SequenceModel(urlPrefix: "file://\(directory.root)/d")
        _ = try Store(at: directory.store, create: true)
        state = try SequenceState(directory, nil)
    }

    /// The checks after the next step of a random sequence: the deeper, the rarer.
    var usualDepth: Depth { steps.count % 12 == 11 ? .rebuild : steps.count % 4 == 3 ? .collection : .bytes }

    // MARK: Steps

    /// Runs a step, unless it makes no sense here.
    ///
    /// - Throws: ``SequenceFailure`` if a rule does not hold.
    func perform(_ step: Step, _ depth: Depth) throws {
        switch step {
        case .event(let event):
            guard model.allows(event, directory) else { return }
            steps.append(step)
            try apply(event)
            state = try SequenceState(directory, model.hub)
            if depth > .listing { try inspect(depth) }
        case .run(let command):
            guard model.allows(command) else { return }
            steps.append(step)
            try run(command, prefix: [], depth)
        case .kill(let command, let call, let place, let ordinal):
            guard model.allows(command) else { return }
            steps.append(step)
            // The directory itself, and its files.
            let root = place.map { directory.place($0) }
            let paths = root.map { root in [root] + TemporaryDirectory.files(below: root).map { "\(root)/\($0)" } }
            let prefix = Trace.inject(call, "signal=SIGKILL", when: "\(ordinal)", of: paths ?? [])
            try run(command, prefix: prefix, depth)
        case .fail(let command, let call, let ordinal):
            guard model.allows(command) else { return }
            steps.append(step)
            try run(command, prefix: Trace.inject(call, "error=EIO", when: "\(ordinal)"), mayFail: true, depth)
        }
    }

    private func run(
        _ command: SequenceCommand, prefix: [String], mayFail: Bool = false, _ depth: Depth
    ) throws {
        var tool = directory.tool
        tool.prefix = prefix
        if let hub = model.hub { tool.environment["HF_ENDPOINT"] = hub.url }
        try FileSystem.removeTree(directory.root + "/out")
        try FileSystem.remove(directory.root + "/got")
        let before = model.listing
        var result = try tool.run(command.arguments(directory.root))
        if result.status == 137, command == .rebuild, (try? Store.silent(at: directory.copy())) == nil {
            // Killed between the renames, it leaves a store without a catalog: then it must be run again.
            result = try directory.tool.run(command.arguments(directory.root))
        }
        outcomes["\(command.name) \(result.status)", default: 0] += 1
        let new = try SequenceState(directory, model.hub)
        try inspect(depth) { store in
            do {
                let listing = try listing(store)
                if [0, 13].contains(result.status) { try checkOutput(of: command) }
                // An eviction that freed less than requested is complete.
                let ended = result.status == 13 ? 0 : result.status
                // As if it were killed: nothing or all of it is done.
                let status = mayFail && ended != 0 ? 137 : ended
                try model.follow(command, status, listing, try ShardListing(store), state, new)
                model.followBlocks(command, from: before, status, result.output)
            } catch let failure as SequenceFailure {
                throw SequenceFailure("\(failure)\n\(result.output)\(result.errors)")
            }
            state = new
        }
    }

    /// Checks the files that a command has written outside of the store.
    private func checkOutput(of command: SequenceCommand) throws {
        switch command {
        case .export(let name): try checkExport(of: name)
        case .getBlocks(let name, let prompt):
            guard let key = model.listing.revision(name) else { throw SequenceFailure("kv get: there is no \(name)") }
            let bytes = try FileSystem.read(directory.root + "/got", limit: 1 << 30)
            guard !bytes.isEmpty else { throw SequenceFailure("\(command) succeeded, and wrote no block") }
            try model.checkBlocks(bytes, of: prompt, key, "kv get: ")
        default: break
        }
    }

    private func checkExport(of name: String) throws {
        guard let key = model.listing.revision(name), let bytes = model.bytes[key.digest] else {
            throw SequenceFailure("export: there is no \(name)")
        }
        guard try directory.contents(directory.root + "/out") == bytes.files else {
            throw SequenceFailure("export of \(key) gave other bytes")
        }
    }

    /// The contents of the catalog; notes the bytes of new revisions.
    private func listing(_ store: Store) throws -> CatalogListing {
        let listing = try CatalogListing(store)
        for key in listing.revisions.keys where model.bytes[key.digest] == nil {
            let path = directory.blobs.path(key.digest, .manifest)
            guard FileSystem.exists(path) else { throw SequenceFailure("\(key) is listed, and has no manifest") }
            model.bytes[key.digest] = RevisionBytes(
                try Manifest(decoding: try FileSystem.read(path, limit: 1 << 30), path: path))
        }
        for digest in Set(listing.revisions.keys.map(\.digest)) where model.bytes[digest]?.isPending == true {
            model.note(arrived: try store.arrivedShards(of: digest), of: digest)
        }
        return listing
    }

    // MARK: Checks

    /// Checks a copy of the store.
    ///
    /// - Parameter first: receives it before the checks.
    private func inspect(_ depth: Depth, _ first: (Store) throws -> Void = { _ in }) throws {
        let copy = try directory.copy()
        try look(copy) { store in
            try first(store)
            if depth > .listing {
                try readAll(store, "")
                try readBlocks(store, "")
            }
            guard depth >= .collection, isSettled else { return }
            try verify(store)
            try collect(store, copy)
            try readAll(store, "after gc, ")
            // A lease that has just ended may keep the store open for a moment, and a rebuild would be refused.
            if depth < .rebuild { try readBlocks(store, "after gc, ") }
        }
        if depth >= .rebuild, isSettled, !model.lacksDescription, !model.hasLoss { try rebuild(copy) }
        if depth >= .collection, isSettled { try readPulls() }
    }

    /// Rebuilds the copy's catalog: it lists the same.
    private func rebuild(_ copy: String) throws {
        _ = try Store.rebuildBlocking(at: copy)
        try look(copy) { store in
            let listing = try CatalogListing(store)
            guard listing == model.listing else {
                throw SequenceFailure("a rebuild lists something else\n    " + listing.differences(from: model.listing))
            }
            try readAll(store, "after a rebuild, ")
        }
    }

    /// Whether the blobs are mounted, and the catalog is not an older one.
    private var isSettled: Bool { state.isMounted && model.newest == nil }

    /// Opens the copy, and closes it again.
    private func look(_ copy: String, _ body: (Store) throws -> Void) throws { try body(try Store.silent(at: copy)) }

    /// Reads every revision that must be readable, and compares all bytes.
    private func readAll(_ store: Store, _ when: String) throws {
        for key in model.listing.revisions.keys where !model.isPending(key) && model.isReadable(key, state) {
            try read(key, store, when)
        }
    }

    /// Reads every pull under way that must be readable: the hub gives the rest. That changes the copy's catalog, so the
    /// copy is used for nothing else.
    private func readPulls() throws {
        let keys = model.listing.revisions.keys.filter { model.isPending($0) && model.isReadable($0, state) }
        if keys.isEmpty { return }
        try look(try directory.copy()) { store in
            for key in keys { try read(key, store, "from the hub, ") }
        }
    }

    private func read(_ key: SequenceModel.Key, _ store: Store, _ when: String) throws {
        for (path, digest) in model.bytes[key.digest]?.files ?? [:] {
            var bytes: [UInt8] = []
            do {
                try store.revision("\(key.model)@\(key.digest.hex)").read(path) { bytes += $0 }
            } catch {
                throw SequenceFailure("\(when)\(key) \(path) cannot be read: \(error)")
            }
            guard SequenceFiles.digest(bytes) == digest else {
                throw SequenceFailure("\(when)\(key) \(path) has other bytes")
            }
        }
    }

    /// Reads the KV blocks of all revisions.
    private func readBlocks(_ store: Store, _ when: String) throws {
        guard isSettled, !model.catalog.blocks.isEmpty else { return }
        for key in model.listing.revisions.keys {
            let kv = try store.kvBlocks(
                of: store.revision("\(key.model)@\(key.digest.hex)"), format: SequencePrompt.format,
                blockTokens: SequencePrompt.blockTokens)
            for prompt in 0..<SequencePrompt.count {
                let chain = kv.chain(SequencePrompt.tokens(prompt))
                var bytes: [UInt8] = []
                if try kv.longestPrefix(of: chain).blocks > 0 {
                    let lease = try kv.leaseBlocking(chain.prefix(), in: .ram)
                    for block in 0..<lease.blocks {
                        bytes += try lease.withUnsafeBytes(ofBlock: block) { Array($0) }
                    }
                }
                try model.checkBlocks(bytes, of: prompt, key, when)
            }
        }
    }

    private func verify(_ store: Store) throws {
        let summary = try store.verifyBlocking(VerifyRule())
        let shards = model.shards
        // The bytes of a pull under way that have not arrived may be damage: the hub may have lost them.
        if shards.allSatisfy({ state.isWhole($0) && !model.suspects.contains($0) }), !model.hasLoss, !model.hasPending {
            guard summary.damage.isEmpty, summary.known.isEmpty else {
                throw SequenceFailure("verify reports damage, and all shards are whole: \(summary)")
            }
        }
        let isLost = shards.contains { shard in
            !state.isWhole(shard)
                && model.holders(of: shard, in: model.listing).allSatisfy {
                    model.listing.revisions[$0]?.origins.isEmpty ?? true
                }
        }
        if isLost, summary.damage.isEmpty, summary.known.isEmpty {
            throw SequenceFailure("verify reports no damage, and a shard without an origin is not there")
        }
    }

    /// Collects all garbage: exactly the referenced bytes remain.
    private func collect(_ store: Store, _ copy: String) throws {
        do {
            _ = try store.collectGarbage(graceSeconds: 0)
        } catch StorageError.tooManyMissing {
            return
        }
        let again = try store.collectGarbage(graceSeconds: 0)
        guard again.bytes == 0, again.orphans == 0, again.unreferencedBlobs == 0 else {
            throw SequenceFailure("a second gc finds more garbage: \(again)")
        }
        let blobs = BlobDirectory(root: copy + "/blobs")
        let shards = model.shards
        let digests = Set(model.listing.revisions.keys.map(\.digest))
        let blocks = try store.catalog.read { db in
            Set(try ContentDigest.fetchAll(db, sql: "SELECT digest FROM shard WHERE kind = 'kv'"))
        }
        var left: Set<ContentDigest> = []
        var records = 0
        for folder in BlobDirectory.fanOut {
            for name in try blobs.contents(folder).blobs {
                let isNeeded =
                    switch name.kind {
                    case .shard: shards.contains(name.digest) || blocks.contains(name.digest)
                    case .manifest: digests.contains(name.digest)
                    case .record: true
                    }
                records += name.kind == .record ? 1 : 0
                if name.kind == .shard { left.insert(name.digest) }
                guard isNeeded || model.hasLoss else {
                    throw SequenceFailure("gc leaves \(name.kind) \(name.digest.short), which nothing references")
                }
            }
        }
        guard records == model.listing.models.count || model.hasLoss else {
            throw SequenceFailure("gc leaves \(records) records of \(model.listing.models.count) models")
        }
        for shard in shards.subtracting(model.suspects).subtracting(model.catalog.evicted)
        where state.isWhole(shard) && !left.contains(shard) {
            throw SequenceFailure("gc has deleted shard \(shard.short), which a revision needs")
        }
    }

    /// Restores everything, and checks the store as a whole.
    func finish() throws {
        try perform(.event(.release), .listing)
        try perform(.event(.openHub), .listing)
        for place in 0..<SequenceDirectory.places { try perform(.event(.back(place)), .listing) }
        for event in [SequenceEvent.mount, .restoreShards] { try perform(.event(event), .bytes) }
        if model.newest != nil { try perform(.run(.merge), .bytes) }
        if model.hasLoss { try perform(.run(.discardNewer), .bytes) }
        try perform(.run(.verify(origins: false)), .listing)
        try perform(.run(.collect(grace: 0, downTo: nil)), .rebuild)
        if model.suspects.count > 10 || model.hasLoss { return }
        let again = try directory.tool("gc", "--grace", "0")
        guard again.status == 0, again.output.isEmpty else {
            throw SequenceFailure("a second gc: status \(again.status): \(again.output)\(again.errors)")
        }
    }

    // MARK: Events

    private func apply(_ event: SequenceEvent) throws {
        switch event {
        case .write(let place, let variant):
            try directory.writeModel(variant, to: place)
            model.moves = model.moves.filter { $0.key.place != place }
        case .edit(let place, let number):
            guard let path = directory.file(number, ofPlace: place) else { return }
            try directory.write(SequenceDirectory.edited(try FileSystem.read(path, limit: 1 << 30), path), to: path)
            model.moves = model.moves.filter { $0.key.place != place }
        case .replace(let place, let number): try replace(place, number)
        case .delete(let place, let number):
            guard let path = directory.file(number, ofPlace: place) else { return }
            unlink(path)
            model.moves = model.moves.filter { $0.key.place != place }
        case .away(let place): try FileSystem.rename(directory.place(place), to: directory.place(place) + ".away")
        case .back(let place): try FileSystem.rename(directory.place(place) + ".away", to: directory.place(place))
        case .unmount:
            // A read may drop blocks whose files are not there.
            model.certainBlocks = [:]
            try FileSystem.rename(directory.store + "/blobs", to: directory.aside)
            mkdir(directory.store + "/blobs", 0o755)
        case .mount:
            try FileSystem.removeTree(directory.store + "/blobs")
            try FileSystem.rename(directory.aside, to: directory.store + "/blobs")
        case .restore:
            for suffix in ["-wal", "-shm"] { try FileSystem.remove(directory.store + "/store.db" + suffix) }
            try directory.write(
                try FileSystem.read(directory.root + "/backup/store.db", limit: 1 << 30),
                to: directory.store + "/store.db")
            model.restored()
            try look(try directory.copy()) { store in model.catalog = try ShardListing(store) }
        case .expireChecks:
            let queue = try DatabaseQueue(path: directory.store + "/store.db")
            try queue.write { db in
                try db.execute(
                    sql: """
                        UPDATE revision_origin SET checked_at = checked_at - 7200, absent_at = absent_at - 7200
                        """)
            }
            try queue.close()
            model.checked = []
        case .expireGracePeriod:
            let queue = try DatabaseQueue(path: directory.store + "/store.db")
            try queue.write { db in
                try db.execute(
                    sql: "UPDATE shard SET orphaned_at = orphaned_at - 100000 WHERE orphaned_at > 100000")
            }
            try queue.close()
            model.free.formUnion(state.whole.keys.filter { $0.kind == .shard }.map(\.digest))
            model.free.subtract(model.shards)
        case .loseShard(let number), .corrupt(let number): try damage(number, isLost: event == .loseShard(number))
        case .restoreShards: try restoreShards()
        case .link(let place, let number):
            guard let path = directory.file(number, ofPlace: place) else { return }
            // The file index does not remember a file that has just changed.
            usleep(250_000)
            link(path, path + ".bin")
            model.moves = model.moves.filter { $0.key.place != place }
        case .hold(let name):
            guard let key = model.listing.revision(name) else { return }
            let leases = try LeaseDirectory(directory.store + "/leases")
            guard try leases.use(.init(model: key.model, digest: key.digest), ifStill: { true }) else { return }
            lease = leases
            model.held = [key]
        case .release:
            lease = nil
            model.held = []
        case .publish(let place):
            let hub = try hub ?? SequenceHub(directory.root)
            self.hub = hub
            try hub.publish(directory.place(place), directory.contents(ofPlace: place) ?? [:])
            model.hub = hub.contents
        case .withdraw:
            try hub?.withdraw()
            model.hub = hub?.contents
        case .closeHub, .openHub:
            try hub?.set(isOpen: event == .openHub)
            model.hub = hub?.contents
        case .loseDescription(let number):
            let kind = number.isMultiple(of: 2) ? BlobDirectory.Kind.manifest : .record
            let names = state.whole.keys.filter { $0.kind == kind }.sorted { $0.digest.hex < $1.digest.hex }
            guard !names.isEmpty else { return }
            let name = names[number / 2 % names.count]
            unlink(directory.blobs.path(name.digest, name.kind))
            model.lacksDescription = true
        }
    }

    private func replace(_ place: Int, _ number: Int) throws {
        guard let path = directory.file(number, ofPlace: place), !path.hasSuffix(".index.json"),
            let status = try FileSystem.status(path)
        else { return }
        var bytes = try FileSystem.read(path, limit: 1 << 30)
        if let last = bytes.popLast() { bytes.append(last ^ 0x5A) }
        try directory.write(bytes, to: path + ".new")
        let time = timespec(
            tv_sec: Int(status.modified / 1_000_000_000), tv_nsec: Int(status.modified % 1_000_000_000))
        utimensat(AT_FDCWD, path + ".new", [time, time], 0)
        try FileSystem.rename(path + ".new", to: path)
        model.moves = model.moves.filter { $0.key.place != place }
    }

    private func damage(_ number: Int, isLost: Bool) throws {
        let digests = state.whole.keys.filter { $0.kind == .shard && model.shards.contains($0.digest) }.map(\.digest)
            .sorted { $0.hex < $1.hex }
        guard !digests.isEmpty else { return }
        let digest = digests[number % digests.count]
        let path = directory.blobs.path(digest)
        var bytes = try FileSystem.read(path, limit: 1 << 30)
        mkdir(directory.root + "/lost", 0o755)
        try directory.write(bytes, to: "\(directory.root)/lost/\(digest.hex)", mode: 0o444)
        unlink(path)
        model.suspects.insert(digest)
        if isLost { return }
        bytes[bytes.count / 2] ^= 1
        try directory.write(bytes, to: path, mode: 0o444)
    }

    private func restoreShards() throws {
        let lost = directory.root + "/lost"
        for name in try FileSystem.entries(lost) {
            guard let digest = ContentDigest(hex: name) else { continue }
            // A shard that nothing references any more would be garbage.
            if model.shards.contains(digest) {
                try FileSystem.rename("\(lost)/\(name)", to: directory.blobs.path(digest))
            }
        }
        try FileSystem.removeTree(lost)
    }
}

extension SequenceModel {
    /// Whether an event can happen.
    func allows(_ event: SequenceEvent, _ directory: SequenceDirectory) -> Bool {
        func isThere(_ place: Int) -> Bool { FileSystem.exists(directory.place(place)) }
        return switch event {
        case .write: true
        case .edit(let place, _), .replace(let place, _), .delete(let place, _), .away(let place), .link(let place, _):
            isThere(place)
        case .hold(let name):
            directory.isMounted && newest == nil && held.isEmpty && listing.revision(name) != nil
        case .release: !held.isEmpty
        case .back(let place): !isThere(place) && FileSystem.exists(directory.place(place) + ".away")
        case .unmount: directory.isMounted && newest == nil
        // What had arrived of a pull is known only to the catalog.
        case .loseShard, .corrupt, .loseDescription: directory.isMounted && newest == nil && !hasPending
        case .publish(let place): isThere(place)
        case .withdraw: hub?.revisions.isEmpty == false
        case .closeHub: hub?.isOpen == true
        case .openHub: hub?.isOpen == false
        case .restoreShards: directory.isMounted
        case .mount: !directory.isMounted
        case .restore:
            backup != nil && newest == nil && directory.isMounted && !hasLoss && !lacksDescription && held.isEmpty
                && !hasPending && !hasPendingBackup
        case .expireChecks, .expireGracePeriod: true
        }
    }

    /// Whether a command makes sense. Changes of a catalog that is known to be older are skipped.
    /// What a pull finds is known only if nothing is damaged.
    func allows(_ command: SequenceCommand) -> Bool {
        if command.isPull, hub == nil || !suspects.isEmpty || lacksDescription { return false }
        return newest == nil || !command.isChange
    }

    /// Follows an older catalog that was put back.
    mutating func restored() {
        guard let backup else { return }
        newest = listing
        hasMergedInPart = false
        listing = backup
        quota = backupQuota
        hasLoss = backupHasLoss
        checked.formUnion(backupChecked)
        (possibleBlocks, certainBlocks, lacksBlocks) = (backupBlocks, [:], true)
    }
}
