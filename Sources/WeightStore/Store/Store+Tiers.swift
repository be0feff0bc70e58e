import Foundation
import GRDB
import Storage
import Tiers

extension Store {
    /// Opens a tier. A tier that is not opened explicitly is opened with the default options at its first use.
    ///
    /// - Throws: ``DeviceError``; ``StorageError/invalid(what:value:reason:)`` if the tier is open already.
    public func open(_ tier: Tier, _ options: TierOptions = TierOptions()) throws {
        guard !tiers.all.contains(where: { $0.tier == tier }) else {
            throw StorageError.invalid(
                what: "tier to open", value: "\(tier)", reason: "already open; open it before its first use")
        }
        _ = try tiers.open(tier, options)
    }

    /// The gauges of the open tiers, sorted by name.
    public var gauges: [TierGauge] { tiers.all.map(\.gauge).sorted { $0.tier.description < $1.tier.description } }

    /// Evicts all shards of a tier that no lease holds.
    ///
    /// - Returns: the bytes freed.
    /// - Throws: ``DeviceError`` if the tier cannot be opened.
    @discardableResult
    public func clear(_ tier: Tier) throws -> Int { try tiers.open(tier).clear() }
}
