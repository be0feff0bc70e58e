/// The leftovers of an interrupted command, and the next step.
protocol InterruptAdvice {
    /// Sentences after "Interrupted."; empty if nothing is left behind.
    var interruptAdvice: String { get }
}

private let resumes = """
    Data that was stored is kept: run the command again to resume; "weightstore gc" removes unfinished data.
    """
private let fetches = "Shards that were fetched completely are kept."
private let isAtomic = "A revision is removed whole or not at all: \"weightstore ls\" lists those that are left."

extension Import: InterruptAdvice { var interruptAdvice: String { resumes } }
extension Pull: InterruptAdvice { var interruptAdvice: String { resumes } }
extension Sync: InterruptAdvice { var interruptAdvice: String { dryRun ? "" : resumes } }
extension Push: InterruptAdvice {
    var interruptAdvice: String {
        if dryRun { return "" }
        return check
            ? "Objects that were uploaded stay: run the command again to check the rest."
            : "Run the command again: it resumes from the uploaded shards, or reports that the version exists."
    }
}
extension Export: InterruptAdvice {
    var interruptAdvice: String {
        "Files that were written completely stay; run the command again with --force to write all of them."
    }
}
extension Load: InterruptAdvice { var interruptAdvice: String { fetches } }
extension Warm: InterruptAdvice { var interruptAdvice: String { plan ? "" : fetches } }
extension Cat: InterruptAdvice { var interruptAdvice: String { fetches } }
extension Verify: InterruptAdvice {
    var interruptAdvice: String {
        // A comparison records nothing.
        against == nil
            ? "Shards that were verified are recorded: \"weightstore verify --older-than 1d\" continues with the others."
            : ""
    }
}
extension Rebuild: InterruptAdvice {
    var interruptAdvice: String {
        merge ? "Run the command again to continue." : "The old catalog is kept: run the command again."
    }
}
// The files are those of `UnfinishedFiles`.
extension Generate: InterruptAdvice { var interruptAdvice: String { "The files that it had begun were removed." } }
extension CollectGarbage: InterruptAdvice {
    var interruptAdvice: String { dryRun ? "" : "Run the command again to collect the rest." }
}
extension Evict: InterruptAdvice {
    var interruptAdvice: String { dryRun ? "" : "Run the command again to evict the rest." }
}
extension Remove: InterruptAdvice { var interruptAdvice: String { dryRun ? "" : isAtomic } }
extension Prune: InterruptAdvice { var interruptAdvice: String { dryRun ? "" : isAtomic } }
