import Foundation
import GRDB
import Storage
import Tiers

extension Store {
    /// Opens a tier. Without this, it is opened with the default options at its first use.
    ///
    /// - Throws: ``DeviceError``; ``StorageError/invalid(what:value:reason:)`` if the tier is open already.
    public func open(_ tier: Tier, _ options: TierOptions = TierOptions()) throws {
        guard !tiers.all.contains(where: { $0.tier == tier }) else {
            throw StorageError.invalid(what: "tier to open", value: "\(tier)", reason: "it is open already")
        }
        _ = try tiers.open(tier, options)
    }

    /// How full the open tiers are.
    public var gauges: [TierGauge] { tiers.all.map(\.gauge).sorted { $0.tier.description < $1.tier.description } }

    /// Evicts all that no lease holds.
    ///
    /// - Returns: bytes.
    @discardableResult
    public func clear(_ tier: Tier) throws -> Int { try tiers.open(tier).clear() }
}
