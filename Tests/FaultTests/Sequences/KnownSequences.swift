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
            "a merge keeps what was pinned and evicted after the backup",
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
            "a file whose digest the catalog knows is not garbage",
            [
                write(0, 0), from(0, "a"), .event(.loseShard(3)), collect, .event(.restoreShards), collect,
            ]
        ),
        (
            "a shard that is back is found",
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
            "what a rebuild has lost is kept",
            [
                write(0, 0), from(0, "a"), .event(.loseDescription(0)), .run(.rebuild),
                collect,
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
            "prune keeps what a ref names",
            [
                write(0, 0), from(0, "a"), .run(.tag("org/a@~1", ref: "prod")), edit(0), from(0, "a"),
                .run(.prune(keepLast: 0, includeReferenced: false)),
            ]
        ),
        (
            "rm keeps what is pinned",
            [
                write(0, 0), from(0, "a"), .run(.pin("org/a")), .run(.remove(["org/a"], force: false)),
            ]
        ),
        (
            "a removal keeps what another model needs",
            [
                write(0, 0), write(1, 1), from(0, "a"), from(1, "b"), .run(.remove(["org/a"], force: false)),
            ]
        ),
        (
            "an import of the rest of an interrupted move has all of its files",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "unlink", ordinal: 2), from(0, "a"),
            ]
        ),
        (
            "a move removes only the file that it has read",
            [
                write(0, 0), .kill(importing(0, "a", move: true), call: "unlink", ordinal: 2),
                .event(.replace(0, file: 1)),
                .event(.replace(0, file: 0)), from(0, "a", move: true),
            ]
        ),
        ("nothing is stored above the quota", [write(0, 0), .run(.quota(4000)), from(0, "a")]),
    ]

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
