/// Short sequences, each of which loses bytes if one rule is removed from the store.
enum KnownSequences {
    /// Names of rules, and the steps.
    static let all: [(rule: String, steps: [Step])] = [
        (
            "a shard is evicted only if every holder has an origin",
            [write(0, 0), write(1, 1), from(0, "a", origin: 0), from(1, "b"), evict]
        ),
        (
            "evicted shards that others need are fetched before a removal",
            [
                write(0, 0), write(1, 0), from(0, "a", origin: 0), from(1, "b", origin: 1), evict,
                .run(.removeOrigin("org/b", 1, force: false)), .run(.remove(["org/a"], force: false)),
            ]
        ),
        (
            "an origin is checked again after an hour",
            [
                write(0, 0), from(0, "a", origin: 0), .event(.expireChecks), edit(0), evict,
            ]
        ),
        (
            "a shard is not evicted if its origin does not answer",
            [write(0, 0), from(0, "a", origin: 0), .event(.expireChecks), .event(.away(0)), evict]
        ),
        (
            "an import with an origin is refused if the origin lacks the files",
            [
                write(0, 0), write(1, 1), from(0, "a", origin: 1), evict,
            ]
        ),
        (
            "a directory that is the origin of a new version is checked again for the older one",
            [
                write(0, 0), from(0, "a", origin: 0), edit(0), from(0, "a", origin: 0), evict,
            ]
        ),
        (
            "an origin that a move has emptied is checked again",
            [
                write(0, 0), from(0, "a", origin: 0), from(0, "b", move: true), evict,
            ]
        ),
        (
            "an origin that a move has emptied is checked again after the last other holder is removed",
            [
                write(0, 0), from(0, "a", origin: 0), from(0, "b", move: true),
                .run(.remove(["org/b"], force: false)), evict,
            ]
        ),
        (
            "a catalog older than the blobs deletes nothing",
            [
                write(0, 0), from(0, "a"), .run(.backUp), write(1, 6), from(1, "b"), .event(.restore), collect,
                .run(.merge),
            ]
        ),
        (
            "a merge finds shards that are stored again",
            [
                write(0, 0), from(0, "a", origin: 0), evict, .run(.backUp), from(0, "b"), .event(.restore),
                .run(.merge),
            ]
        ),
        (
            "a merge leaves no record of a model that is removed after it",
            [
                .run(.backUp), write(0, 0), from(0, "a"), .event(.restore), .run(.merge),
                .run(.remove(["org/a"], force: false)),
                .run(.rebuild),
            ]
        ),
        (
            "a merge keeps pins and evictions made after the backup",
            [
                write(0, 0), from(0, "a", origin: 0), .run(.backUp), evict, .run(.pin("org/a")), .event(.restore),
                .run(.merge),
            ]
        ),
        (
            "blobs that are not mounted are neither deleted nor missing",
            [
                write(0, 0), from(0, "a"), .event(.unmount), collect, .run(.remove(["org/a"], force: false)),
                .event(.mount),
            ]
        ),
        (
            "a restored catalog that is not older counts as current",
            [
                write(0, 0), from(0, "a"), write(0, 1), from(0, "a", move: true), .run(.backUp), .event(.restore),
                .run(.prune(keepLast: 1, includeReferenced: false)),
            ]
        ),
        (
            "an eviction relies on the checks of a restored catalog that is not older",
            [
                write(0, 1), from(0, "a", origin: 0), .run(.backUp), .event(.away(0)), .event(.restore), .run(.merge),
                evict,
            ]
        ),
        (
            "an eviction relies on the checks of a catalog that is restored after a rebuild",
            [
                write(0, 1), from(0, "a", origin: 0), .run(.backUp), .event(.away(0)), .run(.rebuild), .event(.restore),
                evict,
            ]
        ),
        (
            "a collection deletes the files that a killed eviction has left",
            [
                write(0, 1), from(0, "a", origin: 0), write(0, 0), .kill(.evict(nil), call: "unlink", ordinal: 2),
                collect,
            ]
        ),
        (
            "the absence of a shard that no revision holds is no damage",
            [
                write(3, 7), from(3, "b", origin: 4), .run(.backUp), .run(.discardNewer), .event(.restore),
            ]
        ),
        (
            "a merge that is killed continues at the next one",
            [
                write(0, 0), from(0, "c"), .run(.backUp), .run(.pin("org/c")), write(1, 1), from(1, "b"), from(1, "a"),
                .event(.restore), .kill(.merge, call: "fsync", ordinal: 5), .run(.merge),
            ]
        ),
        (
            "no KV block is stored while the blobs are not mounted",
            [write(0, 0), from(0, "a"), .event(.unmount), .run(.putBlocks("org/a", prompt: 0)), .event(.mount)]
        ),
        (
            "no model changes while the blobs are not mounted",
            [
                write(0, 0), from(0, "a"), .event(.unmount), .run(.tag("org/a", ref: "prod")), .run(.rebuild),
                .event(.mount),
            ]
        ),
        (
            "a file whose digest the catalog knows is not garbage",
            [
                write(0, 0), from(0, "a"), .event(.loseShard(3)), collect, .event(.restoreShards), collect,
            ]
        ),
        (
            "a restored shard is found",
            [
                write(0, 0), from(0, "a"), .event(.loseShard(3)), collect, .event(.restoreShards),
                .run(.verify(origins: false)),
            ]
        ),
        (
            "a lost manifest or record is rewritten",
            [
                write(0, 0), from(0, "a"), .event(.loseDescription(0)), collect, .event(.loseDescription(1)), collect,
            ]
        ),
        (
            "blobs of revisions that a rebuild lost are kept",
            [
                write(0, 0), from(0, "a"), .event(.loseDescription(0)), .run(.rebuild),
                collect,
            ]
        ),
        (
            "blobs of a model whose record and manifest are lost are kept",
            [
                write(0, 0), from(0, "a"), .event(.loseDescription(0)), .event(.loseDescription(1)), .run(.rebuild),
                collect,
            ]
        ),
        (
            "blobs of a model whose record is lost are kept",
            [write(0, 0), from(0, "a"), .event(.loseDescription(1)), .run(.rebuild), collect]
        ),
        (
            "a model that is removed after a killed change stays removed",
            killedTags
        ),
        (
            "a removal that was killed and completed is not undone",
            [
                write(0, 0), from(0, "a"), .kill(.remove(["org/a"], force: false), call: "unlink", ordinal: 1),
                .run(.collect(grace: nil, downTo: nil)), .run(.rebuild),
            ]
        ),
        (
            "a rebuild that is killed before the new catalog is in its place leaves no older one",
            [.kill(.rebuild, call: "rename", ordinal: 2)]
        ),
        (
            "a collection is refused if many shards are missing",
            manyMissing
        ),
        (
            "bytes of an origin are used only if they have the digest",
            [write(0, 0), from(0, "a", origin: 0), evict, edit(0), .run(.export("org/a"))]
        ),
        (
            "a miss that cannot fit the quota is not stored",
            [write(0, 0), from(0, "a", origin: 0), evict, .run(.quota(1000)), .run(.export("org/a"))]
        ),
        (
            "a revision in use is neither evicted nor removed",
            [
                write(0, 0), from(0, "a", origin: 0), .event(.hold("org/a")), evict,
                .run(.remove(["org/a"], force: true)), .event(.release), evict,
            ]
        ),
        (
            "two names of one file have one format, and the memo of an interrupted import serves both",
            [
                write(0, 0), .event(.link(0, file: 1)), .kill(importing(0, "a"), call: "rename", ordinal: 4),
                .kill(importing(0, "a"), call: "rename", ordinal: 7),
                .kill(importing(0, "a"), call: "rename", ordinal: 10), from(0, "a"), from(0, "b"),
            ]
        ),
        (
            "unreferenced shards are kept for the grace period",
            [
                write(0, 0), .kill(importing(0, "a"), call: "rename", ordinal: 9),
                .run(.collect(grace: nil, downTo: nil)),
            ]
        ),
        (
            "blobs without rows are kept for the grace period",
            [
                write(0, 0), .kill(importing(0, "a"), call: "rename", ordinal: 3),
                .run(.collect(grace: nil, downTo: nil)),
            ]
        ),
        (
            "the grace period of a shard starts again when it is claimed",
            [
                write(0, 0), .kill(importing(0, "a"), call: "rename", ordinal: 9), .event(.expireGracePeriod),
                .kill(importing(0, "a"), call: "rename", ordinal: 1), .run(.collect(grace: nil, downTo: nil)),
            ]
        ),
        (
            "the file that a killed fetch has left of an evicted shard is used once no origin has it",
            [
                write(3, 5), from(3, "b", origin: 3), .run(.evict(18124)),
                .kill(.export("org/b"), call: "fsync", ordinal: 7), .run(.export("org/b")), write(3, 3),
                .run(.verify(origins: true)), .run(.collect(grace: 0, downTo: nil)), .run(.export("org/b")),
            ]
        ),
        (
            "a removal fetches a shared shard whose blob is gone, if the others have no origin",
            [
                write(3, 3), from(3, "c", move: true), write(0, 9), from(0, "b", origin: 0), .event(.loseShard(17)),
                .run(.remove(["org/b"], force: false)),
            ]
        ),
        (
            "a claim of an import that was refused does not start the grace period again",
            [
                write(0, 5), from(0, "a", move: true, origin: 2), .event(.expireGracePeriod), write(0, 3),
                from(0, "b"), .run(.collect(grace: nil, downTo: nil)),
            ]
        ),
        (
            "unreadable blobs are not garbage",
            unreadable
        ),
        (
            "prune keeps revisions that a ref names",
            [
                write(0, 0), from(0, "a"), .run(.tag("org/a@~1", ref: "prod")), edit(0), from(0, "a"),
                .run(.prune(keepLast: 0, includeReferenced: false)),
            ]
        ),
        (
            "prune keeps the revision that main names",
            [write(0, 0), from(0, "a"), .run(.prune(keepLast: 0, includeReferenced: true))]
        ),
        (
            "rm keeps pinned revisions",
            [
                write(0, 0), from(0, "a"), .run(.pin("org/a")), .run(.remove(["org/a"], force: false)),
            ]
        ),
        (
            "a removal keeps shards that another model needs",
            [
                write(0, 0), write(1, 1), from(0, "a"), from(1, "b"), .run(.remove(["org/a"], force: false)),
            ]
        ),
        (
            "an import of the rest of an interrupted move has all of its files",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "unlink", place: 0, ordinal: 2), from(0, "a"),
            ]
        ),
        (
            "a move that is killed after its last removal is completed by the next import",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "fsync", place: 0, ordinal: 1),
                from(0, "a", move: true),
            ]
        ),
        (
            "an import into another model is refused as long as files of an interrupted move are there",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "unlink", place: 0, ordinal: 2), from(0, "c"),
            ]
        ),
        (
            "a move removes only stored files",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "unlink", place: 0, ordinal: 2),
                .event(.loseShard(0)), .event(.loseShard(0)), .event(.loseShard(0)), .event(.loseShard(0)),
                .event(.loseShard(0)), .event(.loseShard(0)), from(0, "a", move: true),
            ]
        ),
        (
            "a move removes only the file that it has read",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "unlink", place: 0, ordinal: 2),
                .event(.replace(0, file: 1)),
                .event(.replace(0, file: 0)), from(0, "a", move: true),
            ]
        ),
        (
            "KV blocks are read as they were put, or the first of them",
            [
                write(0, 0), from(0, "a"), put("a", 0), put("a", 1), put("a", 2), get("a", 0), get("a", 1),
                .run(.evictBlocks(1)), get("a", 0), get("a", 1), get("a", 2), .run(.evictBlocks(nil)), get("a", 0),
                put("a", 0), get("a", 0),
            ]
        ),
        (
            "a put that was killed leaves no other bytes",
            [
                write(0, 0), from(0, "a"), .kill(.putBlocks("org/a", prompt: 0), call: "rename", ordinal: 2),
                get("a", 0), .kill(.putBlocks("org/a", prompt: 0), call: "fdatasync", ordinal: 2), get("a", 0),
                put("a", 0), get("a", 0),
            ]
        ),
        (
            "a rebuild drops KV blocks",
            [write(0, 0), from(0, "a"), put("a", 0), .run(.rebuild), get("a", 0), put("a", 0), get("a", 0)]
        ),
        (
            "a revision that is removed takes its KV blocks along",
            [
                write(0, 0), from(0, "a"), put("a", 0), .run(.remove(["org/a"], force: false)), from(0, "a"),
                get("a", 0),
            ]
        ),
        (
            "KV blocks stay until the last model with their revision is removed",
            [
                write(0, 0), from(0, "a"), from(0, "b"), put("a", 0), .run(.remove(["org/a"], force: false)),
                get("b", 0),
            ]
        ),
        (
            "another version of a model has other KV blocks",
            [write(0, 0), from(0, "a"), put("a", 0), edit(0), from(0, "a"), get("a", 0), get("a@~1", 0)]
        ),
        (
            "an older catalog gives no other KV blocks",
            [
                write(0, 0), from(0, "a"), put("a", 0), .run(.backUp), .run(.evictBlocks(nil)), put("a", 1),
                .event(.restore), get("a", 0), .run(.merge), get("a", 0), put("a", 0), get("a", 0),
            ]
        ),
        (
            "a pulled revision is evicted, and fetched again from its hub",
            [write(0, 0), publish(0), pull, export("x"), evict, export("x"), evict, .run(.rebuild), export("x")]
        ),
        (
            "a pull of one layer is completed by its first use",
            [write(0, 0), publish(0), pullLayer(0), collect, export("x"), .run(.rebuild), collect]
        ),
        (
            "a pull under way keeps the shards that have arrived",
            [
                write(0, 0), write(1, 1), publish(0), pullLayer(1), from(1, "a"), collect,
                .run(.remove(["org/a"], force: false)), collect, evict, pull,
            ]
        ),
        (
            "a rebuild lists a pull under way, which can be completed",
            [write(0, 0), publish(0), pullLayer(1), .run(.rebuild), pull, export("x")]
        ),
        (
            "a pull of a layer that the model does not have is refused, and changes nothing",
            [
                write(0, 4), publish(0), pullLayer(SequenceFiles.layers), .event(.delete(0, file: 3)), publish(0),
                pullLayer(1), pull, export("x"),
            ]
        ),
        (
            "a pull that was killed is resumed",
            [
                write(0, 0), publish(0), .kill(.pull(layer: nil), call: "rename", ordinal: 2),
                .kill(.pull(layer: nil), call: "rename", ordinal: 5), .kill(.pull(layer: 0), call: "fsync", ordinal: 6),
                .kill(.pull(layer: nil), call: "pwrite64", ordinal: 6), collect, pull, export("x"), collect,
            ]
        ),
        (
            "a read that completes a pull may be killed",
            [
                write(0, 0), publish(0), pullLayer(2), .kill(.export("org/x"), call: "rename", ordinal: 3),
                .kill(.export("org/x"), call: "fsync", ordinal: 4), .run(.collect(grace: nil, downTo: nil)),
                export("x"), collect,
            ]
        ),
        (
            "shards are not evicted while their hub does not answer",
            [
                write(0, 0), publish(0), .event(.closeHub), pull, .event(.openHub), pull, .event(.expireChecks),
                .event(.closeHub), evict, .run(.checkOrigins), export("x"), .event(.openHub), evict, export("x"),
            ]
        ),
        (
            "shards are not evicted once their hub has lost the model",
            [
                write(0, 0), publish(0), pull, .event(.expireChecks), .event(.withdraw), evict, pull, export("x"),
                publish(0), .event(.expireChecks), evict, export("x"),
            ]
        ),
        (
            "a shard that a local model needs, too, is not evicted because a hub has it",
            [write(0, 0), write(1, 1), publish(0), pull, from(1, "a"), evict, export("a"), export("x")]
        ),
        (
            "a hub's new revision is a new version",
            [
                write(0, 0), publish(0), pull, edit(0), publish(0), pullLayer(1), evict, pull, export("x"),
                export("x@~1"),
                .run(.prune(keepLast: 1, includeReferenced: false)), export("x"),
            ]
        ),
        (
            "a pull stores nothing above the quota",
            [write(0, 0), publish(0), .run(.quota(1000)), pull, export("x"), .run(.quota(nil)), pull, export("x")]
        ),
        ("nothing is stored above the quota", [write(0, 0), .run(.quota(4000)), from(0, "a")]),
    ]

    /// Changes that are killed at each sync: some leave a record that was not committed.
    private static let killedTags: [Step] = {
        var steps = [write(0, 0), from(0, "a")]
        for ordinal in 1...4 {
            steps.append(.kill(.tag("org/a", ref: "prod"), call: "fsync", ordinal: ordinal))
            steps.append(.kill(.tag("org/a", ref: "test"), call: "fdatasync", ordinal: ordinal))
        }
        return steps + [.run(.remove(["org/a"], force: false)), .run(.rebuild)]
    }()

    /// Directories of blobs that cannot be read, once each while a collection and a rebuild run.
    private static let unreadable: [Step] = {
        var steps = [write(0, 0), from(0, "a")]
        for ordinal in 1...24 {
            if ordinal % 6 == 0 {
                steps.append(.fail(.collect(grace: 0, downTo: nil), call: "getdents64", ordinal: ordinal))
            }
            steps.append(.fail(.rebuild, call: "getdents64", ordinal: ordinal))
        }
        return steps + [collect]
    }()

    private static let manyMissing: [Step] = {
        var steps = [write(0, 0), write(1, 6), write(2, 5), from(0, "a"), from(1, "b"), from(2, "c")]
        for _ in 0..<12 { steps.append(.event(.loseShard(0))) }
        return steps + [collect, .event(.restoreShards), collect]
    }()

    private static func publish(_ place: Int) -> Step { .event(.publish(place)) }
    private static let pull = Step.run(.pull(layer: nil))
    private static func pullLayer(_ layer: Int) -> Step { .run(.pull(layer: layer)) }
    private static func export(_ name: String) -> Step { .run(.export("org/\(name)")) }

    private static func put(_ name: String, _ prompt: Int) -> Step {
        .run(.putBlocks("org/\(name)", prompt: prompt))
    }
    private static func get(_ name: String, _ prompt: Int) -> Step {
        .run(.getBlocks("org/\(name)", prompt: prompt))
    }

    private static let evict = Step.run(.evict(nil))
    private static let collect = Step.run(.collect(grace: 0, downTo: nil))

    private static func write(_ place: Int, _ variant: Int) -> Step { .event(.write(place, variant: variant)) }
    /// Changes the weights.
    private static func edit(_ place: Int) -> Step { .event(.edit(place, file: 1)) }

    private static func importing(
        _ place: Int, _ name: String, move: Bool = false, origin: Int? = nil
    ) -> SequenceCommand {
        .importing(place, model: "org/\(name)", ref: nil, move: move, origin: origin, trust: false)
    }

    private static func from(_ place: Int, _ name: String, move: Bool = false, origin: Int? = nil) -> Step {
        .run(importing(place, name, move: move, origin: origin))
    }
}
