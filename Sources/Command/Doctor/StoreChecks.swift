import Glibc
import WeightStore

/// Whether the store exists and opens.
enum StoreCheck: DoctorCheck {
    static let name = "store"

    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws {
        if let store = subject.store {
            if let reason = store.readOnlyReason {
                findings.note(
                    "\(store.path) can only be read: \(reason)",
                    fix: "sudo -u \(try PermissionsCheck.owner(of: store.path)) weightstore doctor")
            } else {
                findings.ok("\(store.path) opens")
            }
            return
        }
        guard let failure = subject.failure else { return }
        switch failure {
        case let error as StorageError where !isDamage(error):
            findings.fault("\(error)", fix: "weightstore init --store \(subject.path)")
        case is CancellationError:
            findings.fault(
                "\(subject.path): another process holds its locks", fix: "fuser -v \(subject.path)/write.lock")
        case FileError.system(_, let path, let code) where code == EACCES || code == EPERM:
            findings.fault(
                "\(path): \(FileError.text(of: code))", fix: "sudo chown -R \(PermissionsCheck.user) \(subject.path)")
        case FileError.diskFull(let path, _):
            findings.fault("\(path): the disk is full", fix: "weightstore gc")
        default: findings.fault("\(failure)", fix: "weightstore rebuild")
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
        var count = 0
        for part in parts {
            let path = subject.path + part
            guard let status = try FileSystem.status(path) else { continue }
            let isShared = root.permissions & 0o020 != 0
            if status.owner != root.owner, !isShared {
                count += 1
                findings.fault(
                    "\(path) belongs to \(userName(status.owner)), the store to \(owner)",
                    fix: "sudo chown -R \(owner): \(subject.path)")
            }
            // Root may do everything, whatever the permissions.
            let needed: mode_t = status.isDirectory ? 0o700 : 0o600
            if status.permissions & needed != needed {
                count += 1
                findings.fault(
                    "\(path) has the permissions \(String(status.permissions, radix: 8)): its owner cannot use it",
                    fix: "chmod u+rw\(status.isDirectory ? "x" : "") \(path)")
            }
        }
        if root.permissions & 0o002 != 0 {
            count += 1
            findings.fault("\(subject.path): every user can write it", fix: "chmod o-w \(subject.path)")
        } else if root.permissions & 0o005 != 0 {
            findings.note(
                "\(subject.path): every user of this machine can read the weights", fix: "chmod o-rx \(subject.path)")
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
            findings.fault("the file system can hold no more files", fix: "weightstore gc")
        }
        if available < min(total / 100, 1 << 30) {
            findings.fault("the disk is full: \(free)", fix: "weightstore evict --free 10G; weightstore gc")
        }
        guard let gauge = try subject.store?.diskGauge() else { return findings.ok(free) }
        guard let quota = gauge.quota.bytes else {
            return findings.note(
                "\(free); no quota: fetches may fill the disk",
                fix: "weightstore quota --set \(max(total / 10 * 8 / 1_000_000_000, 1))G")
        }
        let rest = max(quota.subtracting(saturating: gauge.bytes), 0)
        if gauge.bytes > quota {
            findings.note(
                "\(Quantity.bytes(gauge.bytes)) stored, more than the quota of \(Quantity.bytes(quota))",
                fix: "weightstore evict")
        } else if rest > available {
            let fitting = gauge.bytes.adding(saturating: available / 10 * 9)
            findings.note(
                "\(free), but the quota allows \(Quantity.bytes(rest)) more: the disk fills first",
                fix: "weightstore quota --set \(fitting)")
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
                    + list(shard.revisions), fix: fix(shard.revisions))
        }
        let sample = try store.sampleDamage(within: .seconds(2))
        for damage in sample.damage {
            findings.fault(
                "shard \(damage.digest.short): \(damage.detail); affects \(list(damage.revisions))",
                fix: "weightstore verify; " + fix(damage.revisions))
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

    private static func fix(_ revisions: [String]) -> String {
        revisions.first.map { "weightstore pull \($0)" } ?? "weightstore gc"
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
            findings.fault("store.db is damaged: \(problem)", fix: "weightstore rebuild")
        }
        if log > 8 * Catalog.checkpointBytes {
            findings.note(
                "the log store.db-wal has \(Quantity.bytes(log)): a process reads the catalog for long",
                fix: "fuser -v \(subject.path)/store.db")
        }
        if findings.all.isEmpty {
            findings.ok("\(Quantity.bytes(bytes)), and \(Quantity.bytes(log)) of log")
        }
    }
}
