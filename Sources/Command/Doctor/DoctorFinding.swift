/// A line of `weightstore doctor`.
struct DoctorFinding: Encodable {
    enum Level: String, Encodable {
        case ok
        /// It works, and could be better.
        case note
        /// It does not work, or bytes are at risk.
        case fault
    }

    /// The name of the check.
    let check: String
    let level: Level
    let message: String
    /// The command that mends it; nil if there is nothing to mend.
    let fix: String?
}

/// The findings of one check.
struct DoctorFindings {
    let check: String
    private(set) var all: [DoctorFinding] = []

    init(_ check: String) { self.check = check }

    mutating func ok(_ message: String) { add(.ok, message, nil) }
    mutating func note(_ message: String, fix: String?) { add(.note, message, fix) }
    mutating func fault(_ message: String, fix: String?) { add(.fault, message, fix) }

    private mutating func add(_ level: DoctorFinding.Level, _ message: String, _ fix: String?) {
        all.append(DoctorFinding(check: check, level: level, message: message, fix: fix))
    }
}
