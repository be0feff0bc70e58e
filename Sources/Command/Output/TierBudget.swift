import ArgumentParser

/// The option `--budget` of the commands that open a tier.
enum TierBudget {
    static var help: ArgumentHelp {
        ArgumentHelp(
            "The size limit of the tier (default, of the memory that is available to the process: all for ram, half for "
                + "host and for locked pages, 90% of a GPU's).", valueName: "size")
    }
}
