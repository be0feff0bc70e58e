import Glibc
import WeightStore

/// Whether the store exists and opens.
enum StoreCheck: DoctorCheck {
    static let name = "store"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        if let store = subject.store {
            if let reason = store.readOnlyReason {
                let owner = try PermissionsCheck.owner(of: store.path)
                findings.note(
                    "\(store.path) can only be read: \(reason)",
                    fix: owner == PermissionsCheck.user ? nil : subject.command("doctor", as: owner))
            } else {
                findings.ok("\(store.path) opens")
            }
            return
        }
        guard let failure = subject.failure else { return }
        switch failure {
        case let error as StorageError where !isDamage(error):
            findings.fault("\(error)", fix: ShellCommand.line("weightstore", "init", "--store", subject.path))
        case is CancellationError:
            findings.fault(
                "\(subject.path): another process holds its locks",
                fix: ShellCommand.line("fuser", "-v", subject.path + "/write.lock"))
        case FileError.system(_, let path, let code) where code == EACCES || code == EPERM:
            findings.fault(
                "\(path): \(FileError.text(of: code))",
                fix: ShellCommand.line("sudo", "chown", "-R", PermissionsCheck.user, subject.path))
        case FileError.diskFull(let path, _):
            findings.fault("\(path): the disk is full", fix: subject.command("gc"))
        default: findings.fault("\(failure)", fix: subject.command("rebuild"))
        }
    }

    private static func isDamage(_ error: StorageError) -> Bool {
        if case .notAStore = error { false } else { true }
    }
}

/// The owner and the permissions of the store's files.
enum PermissionsCheck: DoctorCheck {
    static let name = "permissions"
    private static let parts = [
        "", "/store.db", "/store.db-wal", "/store.db-shm", "/write.lock", "/blobs", "/staging", "/leases",
        "/quarantine",
    ]

    /// The user of this process.
    static var user: String { userName(geteuid()) }

    /// The name of the user to whom a path belongs.
    static func owner(of path: String) throws -> String {
        try FileSystem.status(path).map { userName($0.owner) } ?? user
    }

    private static func userName(_ id: uid_t) -> String {
        getpwuid(id).flatMap { $0.pointee.pw_name }.map { String(cString: $0) } ?? "\(id)"
    }

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let root = try FileSystem.status(subject.path) else { return }
        let owner = userName(root.owner)
        // A store may be read-only on purpose.
        let isReadOnly = subject.store?.readOnlyReason != nil
        var count = 0
        for part in parts {
            let path = subject.path + part
            guard let status = try FileSystem.status(path) else { continue }
            let isShared = root.permissions & 0o020 != 0
            if status.owner != root.owner, !isShared {
                count += 1
                findings.fault(
                    "\(path) belongs to \(userName(status.owner)), the store to \(owner)",
                    fix: ShellCommand.line("sudo", "chown", "-R", "\(owner):", subject.path))
            }
            // Root may do everything, whatever the permissions.
            let use: mode_t = status.isDirectory ? 0o700 : 0o600
            let needed = isReadOnly ? use & ~0o200 : use
            let mode = "u+rw" + (status.isDirectory ? "x" : "")
            if status.permissions & needed != needed {
                count += 1
                findings.fault(
                    "\(path) has the permissions \(String(status.permissions, radix: 8)): its owner cannot use it",
                    fix: ShellCommand.line("chmod", mode, path))
            }
        }
        if root.permissions & 0o002 != 0 {
            count += 1
            findings.fault(
                "\(subject.path): every user can write it", fix: ShellCommand.line("chmod", "o-w", subject.path))
        } else if root.permissions & 0o005 != 0 {
            findings.note(
                "\(subject.path): every user of this machine can read the weights",
                fix: ShellCommand.line("chmod", "o-rx", subject.path))
        }
        if count == 0 { findings.ok("owned by \(owner), permissions \(String(root.permissions, radix: 8))") }
    }
}

/// Free space against the quota.
enum DiskCheck: DoctorCheck {
    static let name = "disk"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let (available, total) = subject.space else { return }
        let free = "\(Quantity.bytes(available)) of \(Quantity.bytes(total)) free"
        if FileSystem.lacksInodes(subject.path) {
            findings.fault("the file system can hold no more files", fix: subject.command("gc"))
        }
        if available < min(total / 100, 1 << 30) {
            findings.fault(
                "the disk is full: \(free)",
                fix: subject.command("evict", "--free", "10G") + "; " + subject.command("gc"))
        }
        guard let gauge = try subject.store?.diskGauge() else { return findings.ok(free) }
        guard let quota = gauge.quota.bytes else {
            return findings.note(
                "\(free); no quota: fetches may fill the disk",
                fix: subject.command("quota", "--set", "\(max(total / 10 * 8 / 1_000_000_000, 1))G"))
        }
        let rest = max(quota.subtracting(saturating: gauge.bytes), 0)
        if gauge.bytes > quota {
            findings.note(
                "\(Quantity.bytes(gauge.bytes)) stored, more than the quota of \(Quantity.bytes(quota))",
                fix: subject.command("evict"))
        } else if rest > available {
            let fitting = gauge.bytes.adding(saturating: available / 10 * 9)
            // Rounded down: whole gigabytes, or megabytes on a small disk.
            let size = fitting < 10_000_000_000 ? "\(fitting / 1_000_000)M" : "\(fitting / 1_000_000_000)G"
            findings.note(
                "\(free), but the quota allows \(Quantity.bytes(rest)) more: the disk fills first",
                fix: subject.command("quota", "--set", size))
        } else {
            findings.ok("\(free); \(Quantity.bytes(gauge.bytes)) of the quota of \(Quantity.bytes(quota)) stored")
        }
    }
}

/// Damage: what the catalog knows, and a sample that is read now.
enum DamageCheck: DoctorCheck {
    static let name = "damage"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let store = subject.store else { return }
        for shard in try store.damagedShards(limit: 20) {
            findings.fault(
                "shard \(shard.digest.short) is \(shard.isMissing ? "missing" : "damaged"); affects "
                    + list(shard.revisions), fix: try fix(shard.revisions, subject, store))
        }
        let sample = try store.sampleDamage(within: .seconds(2))
        for damage in sample.damage {
            findings.fault(
                "shard \(damage.digest.short): \(damage.detail); affects \(list(damage.revisions))",
                fix: subject.command("verify") + "; " + (try fix(damage.revisions, subject, store)))
        }
        if findings.all.isEmpty {
            findings.ok(
                "none known; \(Quantity.count(sample.shards, "shard")) with \(Quantity.bytes(sample.bytes)) read, all "
                    + "whole")
        }
    }

    private static func list(_ revisions: [String]) -> String {
        revisions.isEmpty ? "no revision" : revisions.joined(separator: ", ")
    }

    /// A read of the whole revision fetches its shards from an origin. Without an origin, an import of the same files
    /// writes them.
    private static func fix(_ revisions: [String], _ subject: DoctorSubject, _ store: Store) throws -> String {
        guard let revision = revisions.first else { return subject.command("gc") }
        if try store.revisionOrigins(of: revision).contains(where: { $0.absent == nil }) {
            return subject.command("export", revision, "DIRECTORY")
        }
        let model = revision.prefix { $0 != "@" }
        return subject.command("import", "DIRECTORY", "--name", String(model))
    }
}

/// The catalog's pages, and the size of its write-ahead log.
enum CatalogCheck: DoctorCheck {
    static let name = "catalog"
    /// The pages of a larger catalog are not read: that would take more than seconds.
    private static let mostBytes = 256 << 20

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        guard let store = subject.store else { return }
        let bytes = try FileSystem.status(subject.path + "/store.db")?.bytes ?? 0
        let log = try FileSystem.status(subject.path + "/store.db-wal")?.bytes ?? 0
        if bytes <= mostBytes, let problem = try store.catalogProblem() {
            findings.fault("store.db is damaged: \(problem)", fix: subject.command("rebuild"))
        }
        if log > 8 * Catalog.checkpointBytes {
            findings.note(
                "the log store.db-wal has \(Quantity.bytes(log)): a process reads the catalog for long",
                fix: ShellCommand.line("fuser", "-v", subject.path + "/store.db"))
        }
        if findings.all.isEmpty {
            findings.ok("\(Quantity.bytes(bytes)), and \(Quantity.bytes(log)) of log")
        }
    }
}
