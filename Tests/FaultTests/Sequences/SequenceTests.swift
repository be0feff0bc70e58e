import Foundation
import TestSupport
import Testing

/// Random sequences of commands and events, against an in-memory model of the bytes that must be readable.
///
/// A step is a command of the tool, a command that is killed at a system call, or an event: the blobs are not
/// mounted, an origin changes or is away, a hub gets or loses a revision or does not answer, a source is edited, an
/// older catalog is put back, a shard is lost or damaged, another process uses a revision. After each step the store
/// is compared with ``SequenceModel``:
///
/// 1. The catalog lists what the command may have made of it: a refused command changes nothing, a killed one nothing or
///    all.
/// 2. No blob is deleted that a revision holds, unless it was evicted, and then every holder has an origin that holds it,
///    or was seen to hold it within the last hour.
/// 3. After a rebuild, blobs of no revision are kept until their deletion is confirmed; nothing is stored above the
///    quota; a collection is refused if many shards are missing.
/// 4. Every revision whose shards are stored, or can be fetched, is read from a copy of the store, byte for byte.
/// 5. KV blocks may be lost, and are never wrong: a revision gives the blocks that were put for it, or the first of them.
/// 6. On the copy, `verify` agrees, a collection without a grace period leaves exactly the referenced bytes, and a
///    rebuild lists the same.
///
/// One sequence after another, beside ``Faults`` and ``Kills``, and in memory.
///
/// `WEIGHTSTORE_MODEL_SECONDS` (120) and `WEIGHTSTORE_MODEL_SEED` (1) choose the time and the first seed.
/// `Tests/model` sets them, and begins at a random seed; a suite that must pass before a change lands runs the same
/// sequences twice. A failure is reduced to a short script; its other words are those of ``SequenceEvent``.
@Suite(.blockingInTurn, .serialized) struct SequenceTests {
    private static func setting(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment["WEIGHTSTORE_MODEL_" + name].flatMap(UInt64.init)
    }

    @Test(
        "short sequences of commands and events, one for each rule, lose no byte",
        arguments: KnownSequences.all.map(\.rule))
    func known(rule: String) throws {
        let steps = KnownSequences.all.first { $0.rule == rule }?.steps ?? []
        let failure = SequenceSearch.failure(of: Machine.traces ? steps : [])
        #expect(failure?.reason == nil)
    }

    @Test("random sequences of commands and events lose no byte that must be readable")
    func sequences() throws {
        let seed = Self.setting("SEED") ?? 1
        var search = SequenceSearch(seed: seed, seconds: Double(Self.setting("SECONDS") ?? 120))
        let failure = try search.run(kills: Machine.traces)
        print("Sequences from seed \(seed): \(search.description).")
        if let failure {
            Issue.record(
                """
                WEIGHTSTORE_MODEL_SEED=\(failure.seed): \(failure.reason)

                \(failure.script)
                """)
        }
    }
}
