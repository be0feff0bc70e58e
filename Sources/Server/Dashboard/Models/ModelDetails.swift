/// The page of a model.
struct ModelDetails: Sendable, Encodable {
    /// A version.
    struct Version: Sendable, Encodable {
        /// `~3`, or the beginning of the digest while it is not complete.
        let name: String
        let digest: String
        let refs: [String]
        /// The note of the pin; nil if it is not pinned.
        let pin: String?
        let bytes: Int
        let absent: Int
        let damaged: Int
        /// Bytes of shards that the version before does not have; nil for the first, and if that is not known.
        let added: Int?
        /// Bytes of shards of the version before that it does not have.
        let dropped: Int?
        let stored: Int
        /// nil if it was never used.
        let lastUse: Int?
        let uses: Int
        let source: String
        /// Why files are missing; nil if none is known to be missing.
        let partial: String?
    }

    /// A layer of the newest version, or what is outside its layers.
    struct Cell: Sendable, Encodable {
        /// `12`, or `outside layers`.
        let name: String
        let bytes: Int
        /// Of these, bytes on disk.
        let onDisk: Int
        /// Bytes in each memory tier, by its name: of the process that has the most of it there. All bytes if the tier has
        /// all tensors, although files without tensors, which are outside layers, are never there.
        let resident: [String: Int]
        let experts: Int

        /// Where the layer is.
        enum Place: String, Encodable {
            case device, ram, disk, part, absent
        }

        /// The memory tiers that have all of it, devices first.
        var tiers: [String] {
            resident.filter { bytes > 0 && $0.value >= bytes }.keys
                .sorted { ($0 == "ram" ? 1 : 0, $0) < ($1 == "ram" ? 1 : 0, $1) }
        }

        /// The fastest tier that has all of the layer, or what of it is there.
        var place: Place {
            if let fastest = tiers.first { return fastest == "ram" ? .ram : .device }
            if onDisk >= bytes { return .disk }
            return onDisk > 0 ? .part : .absent
        }
    }

    /// An origin.
    struct Origin: Sendable, Encodable {
        let url: String
        /// When it was last seen to have a version of the model; nil if never.
        let checked: Int?
        /// When it was last seen to lack one; nil if never.
        let absent: Int?
        /// The versions that it was seen to have.
        let holds: Int
        /// The versions that name it.
        let versions: Int
    }

    /// A process that uses a version.
    struct Use: Sendable, Encodable {
        /// The program and the process id.
        let process: String
        /// `~3`, or the beginning of the digest.
        let version: String
        /// What it leases in each tier: `RAM: 8.19 kB`.
        let leased: [String]
        /// The layers that are resident whole in each tier, `RAM: layers 0–3`; nil if they are not known.
        let layers: [String]?
    }

    let name: String
    let bytes: Int
    let versions: [Version]
    /// The versions that are not listed, because there are many.
    let olderVersions: Int
    let layers: [Cell]
    let origins: [Origin]
    let uses: [Use]
    /// The last events of the model, the newest first.
    let events: [EventLine]
    /// Bytes that its removal would free; nil if it cannot be removed now.
    let frees: Int?
    /// Why it cannot be removed, or what the removal would fetch first; nil otherwise.
    let removalNote: String?
    /// Bytes that other models have, too.
    let shared: Int
}
