import Foundation
import Support
import WeightStore

/// The version map's entry of one model: its versions and refs. Immutable: each change is a new generation.
public struct ModelVersions: Codable, Sendable, Equatable {
    /// A published revision.
    public struct Version: Codable, Sendable, Equatable {
        /// Its number, from 1.
        public let version: Int
        /// The manifest's digest.
        public let digest: ContentDigest
        /// Total size of all files.
        public let bytes: Int
        /// Seconds since 1970, by the object store's clock.
        public let created: Int
        /// The publisher's host name.
        public let publisher: String
    }

    /// A name for a version.
    public struct Ref: Codable, Sendable, Equatable {
        /// The version's number.
        public var version: Int
        /// The version that it named before, and that `rollback` restores.
        public var previous: Int?
    }

    private static let form = "versions 1"

    private var weightstore = form
    /// The model's name.
    public let model: String
    /// 1, 2, 3 …: grows by one with each change.
    public internal(set) var generation: Int
    /// Distinguishes two changes with the same content.
    var writer: String
    /// The highest version ever created, so that a number is never used twice.
    public internal(set) var last: Int
    /// The available versions, by number.
    public internal(set) var versions: [Version]
    /// The refs, by name.
    public internal(set) var refs: [String: Ref]

    init(model: String) {
        self.model = model
        generation = 0
        writer = ""
        last = 0
        versions = []
        refs = [:]
    }

    /// - Parameter place: names the object in the error.
    init(decoding bytes: [UInt8], place: String) throws(FleetError) {
        do {
            self = try JSONDecoder().decode(ModelVersions.self, from: Data(bytes))
        } catch {
            throw .malformed(place: place, reason: "not the versions of a model (\(error))")
        }
        guard weightstore == Self.form else {
            throw .malformed(place: place, reason: "unsupported format \"\(weightstore)\"; expected \"\(Self.form)\"")
        }
        // The next change adds 1.
        let numbers = [generation, last] + versions.map(\.version) + refs.values.map(\.version)
        guard numbers.allSatisfy({ 0...CASRegister.mostGenerations ~= $0 }) else {
            throw .malformed(
                place: place, reason: "a number is negative or greater than \(CASRegister.mostGenerations)")
        }
        guard versions.allSatisfy({ 0...Manifest.maximumFileBytes ~= $0.bytes }) else {
            throw .malformed(place: place, reason: "a size is negative or greater than \(Manifest.maximumFileBytes)")
        }
    }

    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    /// The version with a number, if it is available.
    public func version(_ number: Int) -> Version? { versions.first { $0.version == number } }
    /// The version with a manifest's digest, if it is available.
    public func version(_ digest: ContentDigest) -> Version? { versions.first { $0.digest == digest } }

    /// The version that a ref names, or that a name such as `v3` means.
    func named(_ name: String) throws(FleetError) -> Version {
        let number = refs[name]?.version ?? name.dropping(bytePrefix: "v").flatMap { Int(decimal: $0) }
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
