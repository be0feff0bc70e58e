import Foundation
import WeightStore

/// What the version map says of one model: its versions, and what the refs name. Immutable: each change is a new
/// generation.
public struct ModelVersions: Codable, Sendable, Equatable {
    public struct Version: Codable, Sendable, Equatable {
        public let version: Int
        /// The manifest's.
        public let digest: ContentDigest
        /// Of all files.
        public let bytes: Int
        /// Seconds since 1970, by the object store's clock.
        public let created: Int
        /// Who made it: a host's name.
        public let publisher: String
    }

    public struct Ref: Codable, Sendable, Equatable {
        public var version: Int
        /// What it named before: where `rollback` leads.
        public var previous: Int?
    }

    private static let form = "versions 1"

    private var weightstore = form
    public let model: String
    /// 1, 2, 3 …: grows by one with each change.
    public internal(set) var generation: Int
    /// Tells two changes apart that say the same.
    var writer: String
    /// The highest version ever created, so that a number is never used twice.
    public internal(set) var last: Int
    /// Those that can be had, by number.
    public internal(set) var versions: [Version]
    public internal(set) var refs: [String: Ref]

    init(model: String) {
        self.model = model
        generation = 0
        writer = ""
        last = 0
        versions = []
        refs = [:]
    }

    /// - Parameter place: for the error.
    init(decoding bytes: [UInt8], place: String) throws(FleetError) {
        do {
            self = try JSONDecoder().decode(ModelVersions.self, from: Data(bytes))
        } catch {
            throw .malformed(place: place, reason: "not the versions of a model (\(error))")
        }
        guard weightstore == Self.form else {
            throw .malformed(place: place, reason: "\(weightstore) is not known here")
        }
    }

    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    public func version(_ number: Int) -> Version? { versions.first { $0.version == number } }
    public func version(_ digest: ContentDigest) -> Version? { versions.first { $0.digest == digest } }

    /// The version that a ref names, or that a text `v3` means.
    func named(_ name: String) throws(FleetError) -> Version {
        let number = refs[name]?.version ?? (name.hasPrefix("v") ? Int(name.dropFirst()) : nil)
        guard let number, let found = version(number) else {
            throw .unknown(what: "version", name: "\(model)@\(name)")
        }
        return found
    }

    mutating func move(_ ref: String, to version: Int) {
        guard let old = refs[ref] else {
            refs[ref] = Ref(version: version, previous: nil)
            return
        }
        if old.version != version { refs[ref] = Ref(version: version, previous: old.version) }
    }
}
