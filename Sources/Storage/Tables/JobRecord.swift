import Foundation
import GRDB

/// The last run of a job that keeps a store in order: a collection, an eviction, a verification.
///
/// The setting `job.<name>` has it as JSON, and `job.<name>.succeeded` the end of the last run that succeeded, which a later
/// failure does not change.
public struct JobRecord: Sendable, Codable, Equatable {
    /// The name: `gc`, `evict` or `verify`.
    public let name: String
    /// When the run began, in seconds since 1970.
    public let started: Int
    /// Its duration.
    public let seconds: Double
    /// The exit status of the command; 0 if the run ended as it should.
    public let status: Int
    /// The error, or the result in a few words; empty if there is none.
    public let message: String

    /// A run that has ended.
    public init(name: String, started: Int, seconds: Double, status: Int, message: String) {
        self.name = name
        self.started = started
        self.seconds = seconds
        self.status = status
        self.message = message
    }
}

extension JobRecord {
    /// The names of all jobs.
    package static let names = ["gc", "evict", "verify"]

    /// The last run of each job that has run. One that cannot be read, such as that of a newer program, is left out.
    package static func all(_ db: Database) throws -> [JobRecord] {
        try names.compactMap { name in
            let text: String? = try SettingTable.get("job.\(name)", db)
            return text.flatMap { try? JSONDecoder().decode(JobRecord.self, from: Data($0.utf8)) }
        }
    }

    /// The end of the last run that succeeded of each job, in seconds since 1970.
    package static func successes(_ db: Database) throws -> [String: Int] {
        try names.reduce(into: [:]) { ends, name in
            ends[name] =
                try SettingTable.get("job.\(name).succeeded", db)
                ?? all(db).first { $0.name == name && $0.status == 0 }?.end
        }
    }

    private var end: Int { started.adding(saturating: Int(saturating: seconds)) }

    package func save(_ db: Database) throws {
        let text = String(decoding: try JSONEncoder().encode(self), as: UTF8.self)
        try SettingTable.set("job.\(name)", text, db)
        if status == 0 { try SettingTable.set("job.\(name).succeeded", end, db) }
    }
}
