import CLinux
import Glibc
import Server
import WeightStore

/// Whether the origins answer.
enum OriginsCheck: DoctorCheck {
    static let name = "origins"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let store = subject.store else { return }
        let answers = try store.originAnswers(within: DoctorSubject.limit)
        for (origin, failure) in answers {
            guard let failure else { continue }
            findings.fault("\(origin) does not answer: \(failure)", fix: subject.command("origin", "check"))
        }
        if findings.all.isEmpty {
            findings.ok(answers.isEmpty ? "no model has one" : "\(Quantity.count(answers.count, "origin")) answered")
        }
    }
}

/// What dead processes left.
enum LeasesCheck: DoctorCheck {
    static let name = "leases"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard subject.exists else { return }
        let dead = Set(subject.deadLeases)
        if !dead.isEmpty {
            // The store was opened since, which removes them unless it can only be read.
            findings.note(
                "\(Quantity.count(dead.count, "lease")) of processes that ended without removing theirs: "
                    + dead.sorted().prefix(3).joined(separator: ", "), fix: subject.command("gc"))
        }
        let living = Set(try FileSystem.entries(subject.path + "/leases")).subtracting(dead)
        let staged = try FileSystem.entries(subject.path + "/staging").filter { !living.contains($0) }
        if !staged.isEmpty {
            findings.note(
                "staging/ has \(Quantity.count(staged.count, "folder")) of processes that have ended",
                fix: subject.command("gc"))
        }
        if findings.all.isEmpty { findings.ok("each belongs to a living process") }
    }
}

/// Moves that were interrupted.
enum MovesCheck: DoctorCheck {
    static let name = "moves"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let store = subject.store else { return }
        for move in try store.interruptedMoves() {
            findings.note(
                "the import of \(move.source) was interrupted; \(Quantity.count(move.files, "file")) may remain there",
                fix: subject.command("import", move.source, "--name", move.model, "--move"))
        }
        if findings.all.isEmpty { findings.ok("none interrupted") }
    }
}

/// The last runs of gc and verify.
enum JobsCheck: DoctorCheck {
    static let name = "jobs"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let store = subject.store else { return }
        let jobs = try store.jobs()
        for (name, days) in [("gc", 2), ("verify", 35)] {
            guard let job = jobs.first(where: { $0.name == name }) else {
                findings.note("\(name) never ran", fix: fix(name, subject))
                continue
            }
            let age = Quantity.age(job.started)
            if job.status != 0 {
                findings.fault(
                    "\(name) failed \(age) with status \(job.status)"
                        + (job.message.isEmpty ? "" : ": \(job.message)"), fix: subject.command(name))
            } else if Int(time(nil)).subtracting(saturating: job.started) > days * 86_400 {
                findings.note("\(name) ran \(age)", fix: fix(name, subject))
            } else {
                findings.ok("\(name) ran \(age)")
            }
        }
    }

    /// Starts the timer that is installed, or prints one.
    private static func fix(_ name: String, _ subject: DoctorSubject) -> String {
        let timer = "weightstore-\(name).timer"
        return ServiceUnit.directories.contains { FileSystem.exists($0 + "/" + timer) }
            ? ShellCommand.line("sudo", "systemctl", "enable", "--now", timer)
            : subject.command("service", "print", name, "--timer")
    }
}

/// The machine's clock.
enum ClockCheck: DoctorCheck {
    static let name = "clock"
    /// 2025-01-01: no build of the program is older.
    private static let least = 1_735_689_600

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        let now = Int(time(nil))
        let latest = try subject.store?.latestTime() ?? 0
        if now < least || latest > now.adding(saturating: 3600) {
            return findings.fault(
                "it is behind: the catalog has times up to \(Quantity.seconds(Double(max(latest, least) - now))) ahead of it",
                fix: "sudo timedatectl set-ntp true")
        }
        if clinux_is_clock_synchronized() == 0 {
            findings.note("no program synchronizes it", fix: "sudo timedatectl set-ntp true")
        } else {
            findings.ok("synchronized")
        }
    }
}

/// The certificate of the server.
enum CertificatesCheck: DoctorCheck {
    static let name = "certificates"
    private static let days = 14

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let certificate = Setting.environment("WEIGHTSTORE_TLS_CERTIFICATE") else {
            return findings.ok("none set")
        }
        guard let key = Setting.environment("WEIGHTSTORE_TLS_KEY") else {
            return findings.fault("serve.tls-key is not set", fix: "weightstore config show")
        }
        do {
            let expires = try ServerCertificate(certificate: certificate, key: key).expires
            let rest = Quantity.seconds(Double(expires.subtracting(saturating: Int(time(nil)))))
            if expires < Int(time(nil)).adding(saturating: days * 86_400) {
                findings.note("\(certificate) expires in \(rest)", fix: "certbot renew")
            } else {
                findings.ok("\(certificate) is valid for \(rest)")
            }
        } catch {
            findings.fault("\(error)", fix: "certbot renew")
        }
    }
}
