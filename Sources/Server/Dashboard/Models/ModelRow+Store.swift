import Support
import WeightStore

extension ModelRow {
    init(_ model: Model) {
        self.init(
            name: model.name, version: model.version, revisions: model.revisions, refs: model.refs,
            isPinned: model.pinned, bytes: model.bytes, absent: model.absent, damaged: model.damaged,
            layers: model.layers, uses: model.accesses, lastUse: model.accesses > 0 ? model.lastAccess : nil,
            stored: model.modified)
    }
}

extension ModelDetails {
    /// Reads what the page of a model shows.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    init(_ name: String, in store: Store) throws {
        let report = try store.report(on: name)
        let newest = report.versions.first?.revision
        let processes = try store.liveProcesses()
        let holds = processes.flatMap(\.holds).filter { $0.model == name && $0.digest == newest?.digest }
        let (frees, note) = try Self.removal(of: name, in: store)
        self.init(
            name: name, bytes: newest?.bytes ?? 0, versions: report.versions.map(Version.init),
            olderVersions: report.older,
            layers: Self.cells(report.layers, holds), origins: try Self.origins(of: name, in: store),
            uses: processes.flatMap { process in
                process.holds.filter { $0.model == name }.map { Use($0, by: process) }
            },
            events: try store.events(subject: name, limit: 10).reversed().map(EventLine.init), frees: frees,
            removalNote: note, shared: report.shared)
    }

    /// The layers. A layer of another process counts if it is resident whole. Its size is that of the catalog.
    private static func cells(_ layers: [ModelReport.Layer], _ holds: [ProcessStatistics.Hold]) -> [Cell] {
        let tiers = holds.compactMap(\.layers).flatMap { Array($0) }
        return layers.map { layer in
            let bytes = layer.shards.bytes
            var resident = layer.resident
            for (tier, layers) in tiers where layers.contains(layer.shards.layer) { resident[tier] = bytes }
            return Cell(
                name: layer.shards.layer.map { "\($0)" } ?? "outside layers", bytes: bytes,
                onDisk: layer.shards.present, resident: resident, experts: layer.shards.experts)
        }
    }

    private static func origins(of name: String, in store: Store) throws -> [Origin] {
        let all = try store.revisionOrigins(of: name)
        var urls: [String] = []
        for origin in all where !urls.contains(origin.origin) { urls.append(origin.origin) }
        return urls.map { url in
            let own = all.filter { $0.origin == url }
            return Origin(
                url: url.withoutURLSecrets, checked: own.compactMap(\.checked).max(),
                absent: own.compactMap(\.absent).max(), holds: own.count { $0.checked != nil }, versions: own.count)
        }
    }

    /// What a removal would free, or why there can be none now.
    private static func removal(of name: String, in store: Store) throws -> (frees: Int?, note: String?) {
        do {
            let summary = try store.remove([name], force: true, dryRun: true)
            let needed = summary.neededBy.count
            let first =
                needed > 0
                ? "fetches \(Quantity.bytes(summary.fetchedFirstBytes)) first, which \(Quantity.count(needed, "other version")) "
                    + "need\(needed == 1 ? "s" : "")" : nil
            return (summary.bytes, first)
        } catch let error as StoreError {
            return (nil, "\(error)")
        } catch let error as StorageError {
            return (nil, "\(error)")
        }
    }
}

extension ModelDetails.Use {
    fileprivate init(_ hold: ProcessStatistics.Hold, by process: ProcessStatistics) {
        self.init(
            process: ProcessState(process).name,
            version: hold.revision.dropping(bytePrefix: hold.model + "@") ?? hold.revision,
            leased: hold.leased.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map { tier, bytes in
                "\(TierState.label(tier)): \(Quantity.bytes(bytes))"
            },
            layers: hold.layers?.sorted { $0.key < $1.key }.map { tier, layers in
                "\(TierState.label(tier)): \(layers.text)"
            })
    }
}

extension ModelDetails.Version {
    init(_ version: ModelReport.Version) {
        let revision = version.revision
        self.init(
            name: revision.version.map { "~\($0)" } ?? revision.digest.short, digest: revision.digest.short,
            refs: revision.refs, pin: revision.pin, bytes: revision.bytes, absent: revision.absent,
            damaged: revision.damaged, added: version.added, dropped: version.dropped, stored: revision.created,
            lastUse: revision.accesses > 0 ? revision.lastAccess : nil, uses: revision.accesses,
            source: revision.source.withoutURLSecrets, partial: revision.partial)
    }
}

extension Sizing {
    init(_ forecast: QuotaForecast) {
        self.init(
            sentence: forecast.sentence, quota: forecast.quota, policy: forecast.policy,
            lines: forecast.curve.lines.map { line in
                Line(name: line.name, points: line.points.map { Point(bytes: $0.quota, missRatio: $0.missRatio) })
            }, accesses: forecast.curve.accesses, seconds: forecast.recordedSeconds)
    }
}
