/// The next step of a command that can resume after its connection to an origin has failed. Other commands have no such step.
protocol ConnectionAdvice {
    /// Sentences after the error; empty if nothing was kept.
    var connectionAdvice: String { get }
}

private let resumes = "Received bytes are kept: run the command again to resume."

extension Pull: ConnectionAdvice { var connectionAdvice: String { resumes } }
extension Sync: ConnectionAdvice { var connectionAdvice: String { dryRun ? "" : resumes } }
extension Push: ConnectionAdvice { var connectionAdvice: String { interruptAdvice } }
extension Pin: ConnectionAdvice { var connectionAdvice: String { fetch ? resumes : "" } }
// These fetch bytes that are not stored.
extension Export: ConnectionAdvice { var connectionAdvice: String { resumes } }
extension Load: ConnectionAdvice { var connectionAdvice: String { resumes } }
extension Warm: ConnectionAdvice { var connectionAdvice: String { plan ? "" : resumes } }
extension Cat: ConnectionAdvice { var connectionAdvice: String { resumes } }
