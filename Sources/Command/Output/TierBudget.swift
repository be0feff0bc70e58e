import ArgumentParser
import WeightStore

/// The option `--budget` of the commands that open a tier.
extension TierBudget: ExpressibleByArgument {
    /// Parses a size or a share; nil for any other text.
    public init?(argument: String) {
        // A size of 0 has a message of its own.
        guard let parsed = Self.parse(argument) else { return nil }
        self = parsed
    }

    static var help: ArgumentHelp {
        ArgumentHelp(
            "The size limit of the tier: 8G, 8GiB, or 50% of the memory that is available, of a GPU's of all of it "
                + "(default: WEIGHTSTORE_RAM_BUDGET, WEIGHTSTORE_HOST_BUDGET or WEIGHTSTORE_GPU_BUDGET, or else, of the "
                + "memory that is available, all for ram, half for host and for locked pages, and all but a tenth of a GPU's).",
            valueName: "size")
    }

    /// - Throws: `ValidationError` for a size of 0.
    static func check(_ budget: TierBudget?) throws {
        guard let budget, budget.isZero else { return }
        throw ValidationError("--budget 0: must be at least 1 byte; leave it out for the default")
    }
}
