import WireFormats

/// The sections of `/` that are ready, and the errors of those that cannot be read.
struct OverviewParts {
    /// The content of each section that is ready: of one that cannot be read, the reason.
    private(set) var ready: [(DashboardSection, HTML)] = []
    private(set) var failures: [(section: DashboardSection, error: any Error)] = []

    /// Whether no section could be read.
    var isUnreadable: Bool { !failures.isEmpty && failures.count == ready.count }

    /// Adds a section, unless it is late.
    mutating func add<Value>(_ section: DashboardSection, _ outcome: Recent<Value>.Outcome, _ html: (Value) -> HTML) {
        switch outcome {
        case .ready(let value): ready.append((section, html(value)))
        case .late: break
        case .failed(let error):
            ready.append((section, FailureSection.html(error)))
            failures.append((section, error))
        }
    }
}
