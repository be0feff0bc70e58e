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

    /// A layer of the newest version, or an expert.
    struct Cell: Sendable, Encodable {
        /// `12`, or `outside layers`.
        let name: String
        let bytes: Int
        /// Of these, bytes on disk.
        let onDisk: Int
        /// Bytes in the RAM tier of the process that has the most of it. All of them if it has all tensors, although files
        /// without tensors, which are outside layers, are never there.
        let inRAM: Int
        /// Bytes in the memory of a device, as `inRAM`.
        let onGPU: Int
        let experts: Int

        /// The fastest tier that has all of the layer, or what of it is there.
        enum Place: String, Encodable {
            case gpu, ram, disk, part, absent
        }

        var place: Place {
            if bytes > 0, onGPU >= bytes { return .gpu }
            if bytes > 0, inRAM >= bytes { return .ram }
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
        /// `org/name@~3`.
        let revision: String
        /// What it leases, by tier.
        let leased: [String]
        /// The layers that are resident whole, by tier; nil if they are not known.
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
