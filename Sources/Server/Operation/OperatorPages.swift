import WeightStore

/// The pages for the operator: health, metrics and the overview.
struct OperatorPages: Sendable {
    private let store: Store
    private let threads: BlockingThreads
    private let metrics: Metrics
    private let fetches: FetchMetrics
    /// Cached, because both read whole tables.
    private let stats: Recent<StoreStats>
    private let usage: Recent<StoreUsage>

    init(store: Store, threads: BlockingThreads, metrics: Metrics, fetches: FetchMetrics) {
        self.store = store
        self.threads = threads
        self.metrics = metrics
        self.fetches = fetches
        stats = Recent(for: .seconds(5)) { try await threads.run { try store.stats() } }
        usage = Recent(for: .seconds(10)) { try await threads.run { try store.usage() } }
    }

    private struct Health: Encodable {
        struct Shard: Encodable {
            let digest: String
            let revisions: [String]
        }

        let status: String
        /// The damaged and missing shards, at most 100; absent if there are none.
        let damaged: [Shard]?
    }

    /// Status 200 if the catalog can be read; `degraded` if shards are damaged or missing.
    ///
    /// - Parameter namesShards: whether to list them.
    func health(namesShards: Bool) async throws -> Answer {
        let damaged = try await threads.run { [store] in try store.damagedShards() }
        let shards = damaged.map { Health.Shard(digest: $0.digest.hex, revisions: $0.revisions) }
        return try .json(
            Health(
                status: shards.isEmpty ? "ok" : "degraded",
                damaged: shards.isEmpty || !namesShards ? nil : shards))
    }

    func page() async throws -> Answer {
        var answer = Answer.text(Page.html(usage: try await usage.value), type: "text/html; charset=utf-8")
        answer.fields[.contentSecurityPolicy] = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return answer
    }

    /// The metrics.
    func text() async throws -> Answer {
        var text = Exposition()
        text.add(
            "weightstore_http_requests_total", .counter, "Requests answered.",
            metrics.answers.map { ([("method", $0.request.method), ("status", "\($0.request.status)")], $0.count) })
        text.add("weightstore_http_bytes_sent_total", .counter, "Bytes of bodies sent.", metrics.bytesSent)
        text.add("weightstore_http_streams", .gauge, "Files and shards being sent.", metrics.streaming)
        fetches.write(to: &text)
        let stats = try await stats.value
        text.add("weightstore_store_bytes", .gauge, "Bytes of all shards of weights.", stats.stored)
        text.add("weightstore_store_shards", .gauge, "Shards of weights.", stats.shards)
        text.add(
            "weightstore_store_kv_bytes", .gauge, "Bytes of KV blocks, which the other metrics exclude.",
            stats.kvStored)
        text.add("weightstore_store_kv_blocks", .gauge, "KV blocks.", stats.kvBlocks)
        text.add("weightstore_store_shards_damaged", .gauge, "Shards that are damaged or missing.", stats.damaged)
        text.add("weightstore_store_models", .gauge, "Models.", stats.models)
        text.add("weightstore_store_revisions", .gauge, "Revisions.", stats.revisions)
        text.add("weightstore_store_available_bytes", .gauge, "Free bytes on the disk.", stats.available)
        tiers(&text)
        return .text(text.text, type: "text/plain; version=0.0.4; charset=utf-8")
    }

    private func tiers(_ text: inout Exposition) {
        let gauges = store.gauges
        if gauges.isEmpty { return }
        func add(_ name: String, _ kind: Exposition.Kind, _ help: String, _ value: (TierGauge) -> Int) {
            text.add("weightstore_tier_\(name)", kind, help, gauges.map { ([("tier", "\($0.tier)")], value($0)) })
        }
        add("bytes", .gauge, "Bytes of resident shards.", \.bytes)
        add("budget_bytes", .gauge, "The size limit in bytes.", \.budget)
        add("leased_bytes", .gauge, "Bytes held by leases.", \.leased)
        add("shards", .gauge, "Resident shards.", \.shards)
        add("hits_total", .counter, "Leases on resident shards.", \.hits)
        add("misses_total", .counter, "Leases on shards that had to be loaded.", \.misses)
        add("loaded_bytes_total", .counter, "Bytes loaded.", \.loaded)
        add("evictions_total", .counter, "Shards evicted.", \.evictions)
        add("failures_total", .counter, "Loads that failed.", \.failures)
    }
}
