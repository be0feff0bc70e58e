import ArgumentParser
import WeightStore

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Examine the store and the machine, and name the command that mends each fault.",
        discussion: """
            Each line is ok, a note (it works, and could be better) or a fault. The examination takes seconds, changes \
            no catalog and no blob, and also works on a store that is damaged, missing or can only be read. A sample \
            of the shards is read; weightstore verify reads all.

            Exit status 15 if there is a fault.
            """
    ).examples("doctor", "doctor --json")

    @OptionGroup var options: StoreOptions

    /// All checks, in the order of their lines.
    static var checks: [any DoctorCheck.Type] {
        [
            StoreCheck.self, PermissionsCheck.self, DiskCheck.self, CatalogCheck.self, DamageCheck.self,
            OriginsCheck.self, LeasesCheck.self, MovesCheck.self, JobsCheck.self, CertificatesCheck.self,
            ClockCheck.self,
            HugePagesCheck.self, LockedMemoryCheck.self, MappingsCheck.self, CUDACheck.self, FUSECheck.self,
        ]
    }

    private struct Answer: Encodable {
        let store: String
        let faults: Int
        let notes: Int
        let findings: [DoctorFinding]
    }

    func run() throws {
        let subject = DoctorSubject(options.location)
        let findings = Self.findings(subject)
        let answer = Answer(
            store: subject.path, faults: findings.count { $0.level == .fault },
            notes: findings.count { $0.level == .note }, findings: findings)
        if options.json {
            try Terminal.write(json: answer)
        } else {
            try Terminal.write(findings.map(Self.text).joined() + Self.summary(answer))
        }
        if answer.faults > 0 { throw ExitCode(ExitStatus.faulty.rawValue) }
    }

    private static func findings(_ subject: DoctorSubject) -> [DoctorFinding] {
        var all: [DoctorFinding] = []
        for check in checks {
            var findings = DoctorFindings(check.name)
            do {
                try check.run(subject, &findings)
            } catch {
                // A damaged catalog fails several checks: it is reported once.
                let message = "\(error)"
                if !all.contains(where: { $0.message == message }) {
                    findings.fault(message, fix: fix(error, subject))
                }
            }
            all += findings.all
        }
        return all
    }

    private static func fix(_ error: any Error, _ subject: DoctorSubject) -> String {
        switch error {
        case StorageError.catalogDamaged: subject.command("rebuild")
        case StorageError.busy: subject.command("status")
        default: subject.command("verify")
        }
    }

    private static func text(_ finding: DoctorFinding) -> String {
        let word = finding.level.rawValue + String(repeating: " ", count: 5 - finding.level.rawValue.count)
        let styled: String
        switch finding.level {
        case .ok: styled = word
        case .note: styled = Terminal.styled(word, .yellow)
        case .fault: styled = Terminal.styled(word, .red)
        }
        let name = finding.check + String(repeating: " ", count: max(12 - finding.check.count, 0))
        return "\(styled)  \(name)  \(finding.message)\n"
            + (finding.fix.map { String(repeating: " ", count: 21) + "→ \($0)\n" } ?? "")
    }

    private static func summary(_ answer: Answer) -> String {
        "\(Quantity.count(answer.faults, "fault")), \(Quantity.count(answer.notes, "note"))\n"
    }
}
