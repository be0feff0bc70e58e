import Storage

/// The declaration of a metric: its name, type, labels and meaning. The exposition writes no others, and the tests of the
/// dashboard and of the alerts know no others.
///
/// To add one: a constant here, its place in ``all``, and its samples in `StoreMetrics`, `ServerMetrics`, `FetchMetrics` or `NodeState`. The
/// table in Operating.md lists it.
package struct MetricFamily: Sendable, Hashable {
    package enum Kind: String, Sendable, CustomStringConvertible {
        case counter, gauge, histogram
        package var description: String { rawValue }
    }

    package let name: String
    package let kind: Kind
    package let labels: [String]
    /// One line of plain text.
    package let help: String

    private init(_ name: String, _ kind: Kind, _ help: String) { self.init(name, kind, [], help) }

    private init(_ name: String, _ kind: Kind, _ labels: [String], _ help: String) {
        self.name = "weightstore_" + name
        self.kind = kind
        self.labels = labels
        self.help = help
    }

    private init(process name: String, _ kind: Kind, _ help: String) {
        self.name = "process_" + name
        self.kind = kind
        labels = []
        self.help = help
    }

    /// The names of the family's series, without labels.
    package var series: [String] {
        kind == .histogram ? ["_bucket", "_sum", "_count"].map { name + $0 } : [name]
    }

    /// Families are compared by name.
    package static func == (left: MetricFamily, right: MetricFamily) -> Bool { left.name == right.name }
    package func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

// MARK: What all processes with the store have done

extension MetricFamily {
    package static let hits = MetricFamily(
        "hits_total", .counter, ["tier"], "Uses of shards, or of KV blocks in the tier kv, that were in the tier.")
    package static let misses = MetricFamily(
        "misses_total", .counter, ["tier"], "Uses of shards, or of KV blocks in the tier kv, that were not in the tier."
    )
    package static let hitBytes = MetricFamily(
        "hit_bytes_total", .counter, ["tier"], "Bytes of the uses of shards that were in a memory tier.")
    package static let missBytes = MetricFamily(
        "miss_bytes_total", .counter, ["tier"], "Bytes of the uses of shards that were not in a memory tier.")
    package static let loads = MetricFamily(
        "load_seconds", .histogram, ["tier"], "Duration of loads of shards into a memory tier.")
    package static let loadFailures = MetricFamily(
        "load_failures_total", .counter, ["tier"], "Loads into a memory tier that failed.")
    package static let evictions = MetricFamily(
        "evictions_total", .counter, ["tier", "policy"], "Shards or KV blocks that were evicted.")
    package static let evictedBytes = MetricFamily(
        "evicted_bytes_total", .counter, ["tier", "policy"], "Bytes of the evicted shards or KV blocks.")
    package static let reads = MetricFamily(
        "reads_total", .counter, ["source"], "Reads of shards from the disk, and fetches from origins.")
    package static let readBytes = MetricFamily(
        "read_bytes_total", .counter, ["source"], "Bytes read from the disk, and fetched from origins.")
    package static let readSeconds = MetricFamily(
        "read_seconds_total", .counter, ["source"], "Duration of the reads and fetches; those that overlap add up.")
    package static let readFailures = MetricFamily(
        "read_failures_total", .counter, ["source", "reason"], "Fetches from origins that failed.")
    package static let firstByte = MetricFamily(
        "first_byte_seconds", .histogram, ["source"], "Time until the first byte of a fetched shard arrived.")
    package static let writes = MetricFamily("catalog_writes_total", .counter, "Changes of the catalog.")
    package static let writeWait = MetricFamily(
        "write_lock_wait_seconds_total", .counter, "Time that changes of the catalog waited for the write lock.")

    /// The family of what processes count. One with one label has the place of a value, one with two the place and the part.
    package static func of(_ metric: ActivityMetric) -> MetricFamily? {
        switch metric {
        case .hits: .hits
        case .hitBytes: .hitBytes
        case .misses: .misses
        case .missBytes: .missBytes
        case .loads: .loads
        case .loadFailures: .loadFailures
        case .evictions: .evictions
        case .evictedBytes: .evictedBytes
        case .reads: .reads
        case .readBytes: .readBytes
        case .readSeconds: .readSeconds
        case .readFailures: .readFailures
        case .firstBytes: .firstByte
        case .writes: .writes
        case .writeWaitSeconds: .writeWait
        // The sums of histograms.
        case .loadSeconds, .firstByteSeconds: nil
        }
    }

    package static let ofActivity = [
        hits, misses, hitBytes, missBytes, loads, loadFailures, evictions, evictedBytes, reads, readBytes, readSeconds,
        readFailures, firstByte, writes, writeWait,
    ]
}

// MARK: The store

extension MetricFamily {
    package static let storeBytes = MetricFamily("store_bytes", .gauge, "Bytes of the stored shards of weights.")
    package static let storeShards = MetricFamily("store_shards", .gauge, "Stored shards of weights.")
    package static let kvBytes = MetricFamily("store_kv_bytes", .gauge, "Bytes of the stored KV blocks.")
    package static let kvBlocks = MetricFamily("store_kv_blocks", .gauge, "Stored KV blocks.")
    package static let models = MetricFamily("store_models", .gauge, "Models.")
    package static let revisions = MetricFamily("store_revisions", .gauge, "Revisions.")
    package static let available = MetricFamily("store_available_bytes", .gauge, "Free bytes of the disk.")
    package static let size = MetricFamily("store_disk_bytes", .gauge, "Size of the disk.")
    package static let damagedShards = MetricFamily(
        "store_shards_damaged", .gauge, "Shards of weights that are damaged or missing.")
    package static let damagedBytes = MetricFamily(
        "store_damaged_bytes", .gauge, "Bytes of shards of weights that are damaged or missing.")
    package static let evicted = MetricFamily(
        "store_evicted_bytes", .gauge, "Bytes of shards that were evicted, and are fetched at their next use.")
    package static let evictable = MetricFamily(
        "store_evictable_bytes", .gauge, "Stored bytes that can be evicted now.")
    package static let inUse = MetricFamily("store_in_use_bytes", .gauge, "Stored bytes that a process uses.")
    package static let pinned = MetricFamily("store_pinned_bytes", .gauge, "Stored bytes of pinned revisions.")
    package static let onlyCopy = MetricFamily(
        "store_only_copy_bytes", .gauge, "Stored bytes that no origin is known to have.")
    package static let surveyed = MetricFamily(
        "store_survey_timestamp_seconds", .gauge,
        "Time of the survey of evictable, used, pinned, only-copy and evicted bytes.")
    package static let quota = MetricFamily("quota_bytes", .gauge, ["kind"], "The limit of stored bytes.")
    package static let quotaHigh = MetricFamily(
        "quota_high_bytes", .gauge, ["kind"], "Stored bytes above which eviction starts.")
    package static let quotaLow = MetricFamily(
        "quota_low_bytes", .gauge, ["kind"], "Stored bytes at which eviction stops.")
    package static let quotaUsed = MetricFamily(
        "quota_used_bytes", .gauge, ["kind"], "Stored bytes that count for the quota.")
    package static let catalogBytes = MetricFamily("catalog_bytes", .gauge, "Size of the catalog.")
    package static let walBytes = MetricFamily("catalog_wal_bytes", .gauge, "Size of the catalog's write-ahead log.")
    package static let jobSuccess = MetricFamily(
        "job_last_success_timestamp_seconds", .gauge, ["task"],
        "End of the last run that succeeded; 0 if there was none.")
    package static let jobRun = MetricFamily(
        "job_last_run_timestamp_seconds", .gauge, ["task"], "Start of the last run.")
    package static let jobStatus = MetricFamily(
        "job_last_exit_status", .gauge, ["task"], "Exit status of the last run; 0 is success.")

    package static let ofStore = [
        storeBytes, storeShards, kvBytes, kvBlocks, models, revisions, available, size, damagedShards, damagedBytes,
        evicted, evictable, inUse, pinned, onlyCopy, surveyed, quota, quotaHigh, quotaLow, quotaUsed, catalogBytes,
        walBytes, jobSuccess, jobRun, jobStatus,
    ]
}

// MARK: The processes that have the store open

extension MetricFamily {
    package static let processes = MetricFamily("processes", .gauge, "Processes that have the store open.")
    package static let tierBytes = MetricFamily(
        "tier_bytes", .gauge, ["tier"], "Bytes of resident shards, of all processes.")
    package static let tierBudget = MetricFamily(
        "tier_budget_bytes", .gauge, ["tier"], "Size limits of the tier, of all processes.")
    package static let tierLeased = MetricFamily(
        "tier_leased_bytes", .gauge, ["tier"], "Bytes that leases hold, of all processes.")
    package static let tierShards = MetricFamily("tier_shards", .gauge, ["tier"], "Resident shards, of all processes.")
    package static let leases = MetricFamily("leases", .gauge, "Leases of resident shards, of all processes.")
    package static let fetchesInFlight = MetricFamily(
        "fetches_in_flight", .gauge, "Fetches from origins in progress, of all processes.")

    package static let ofProcesses = [
        processes, tierBytes, tierBudget, tierLeased, tierShards, leases, fetchesInFlight,
    ]
}

// MARK: The server that answers

extension MetricFamily {
    package static let buildInfo = MetricFamily(
        "build_info", .gauge, ["version", "commit"], "The program; the value is always 1.")
    package static let requests = MetricFamily(
        "http_requests_total", .counter, ["method", "status"], "Requests answered.")
    package static let sentBytes = MetricFamily("http_bytes_sent_total", .counter, "Bytes of bodies sent.")
    package static let streams = MetricFamily("http_streams", .gauge, "Files and shards being sent.")
    package static let httpFirstByte = MetricFamily(
        "http_first_byte_seconds", .histogram, ["source"],
        "Time until the first byte of a file or shard was ready, stored or fetched.")
    package static let fetchesRunning = MetricFamily("fetches_running", .gauge, "Fetches for clients in progress.")
    package static let fetchesWaiting = MetricFamily(
        "fetches_waiting", .gauge, "Fetches for clients that wait for others of their model.")
    package static let fetchesCancelled = MetricFamily(
        "fetches_cancelled_total", .counter, "Fetches whose clients disconnected.")
    package static let fetchesRefused = MetricFamily(
        "fetches_refused_total", .counter, "Fetches refused because too many waited.")
    package static let upstreamUp = MetricFamily(
        "upstream_up", .gauge, "Whether the last request to the upstream hub was answered.")
    package static let revalidations = MetricFamily(
        "upstream_revalidations_total", .counter, ["result"], "Comparisons of refs with the upstream.")
    package static let staleRequests = MetricFamily(
        "upstream_stale_requests_total", .counter,
        "Requests answered from a ref that could not be compared with the upstream.")
    package static let rememberedRefusals = MetricFamily(
        "upstream_remembered_total", .counter,
        "Requests answered with a refusal that the upstream had sent shortly before.")
    package static let certificateExpiry = MetricFamily(
        "certificate_expiry_timestamp_seconds", .gauge, "End of the validity of the server's certificate.")

    package static let ofServer = [
        buildInfo, requests, sentBytes, streams, httpFirstByte, fetchesRunning, fetchesWaiting, fetchesCancelled,
        fetchesRefused, upstreamUp, revalidations, staleRequests, rememberedRefusals, certificateExpiry,
    ]
}

// MARK: The node of a fleet

extension MetricFamily {
    package static let nodeRefs = MetricFamily("node_refs", .gauge, "Refs that the node follows.")
    package static let nodeRefsBehind = MetricFamily(
        "node_refs_behind", .gauge, "Followed refs of which the node lacks the current version.")
    package static let nodeVersionsBehind = MetricFamily(
        "node_versions_behind", .gauge, "The most versions that the node is behind in a followed ref.")
    package static let nodeMissingBytes = MetricFamily(
        "node_missing_bytes", .gauge, "Bytes of current versions that the node lacks.")
    package static let nodeFetchedBytes = MetricFamily(
        "node_fetched_bytes_total", .counter, ["from"], "Bytes fetched from peers, and from the bucket.")
    package static let nodeFailing = MetricFamily("node_sync_failing", .gauge, "Whether the last sync failed.")

    package static let ofNode = [
        nodeRefs, nodeRefsBehind, nodeVersionsBehind, nodeMissingBytes, nodeFetchedBytes, nodeFailing,
    ]
}

// MARK: The process that answers

extension MetricFamily {
    package static let processStart = MetricFamily(
        process: "start_time_seconds", .gauge, "Start of the process, in seconds since 1970.")
    package static let processCPU = MetricFamily(
        process: "cpu_seconds_total", .counter, "User and system time of the process.")
    package static let processResident = MetricFamily(
        process: "resident_memory_bytes", .gauge, "Memory of the process that is resident.")
    package static let processVirtual = MetricFamily(
        process: "virtual_memory_bytes", .gauge, "Virtual memory of the process.")
    package static let processFiles = MetricFamily(process: "open_fds", .gauge, "Open file descriptors of the process.")
    package static let processMostFiles = MetricFamily(process: "max_fds", .gauge, "The most open file descriptors.")

    package static let ofProcess = [
        processStart, processCPU, processResident, processVirtual, processFiles, processMostFiles,
    ]

    /// All families, in the order of the exposition.
    package static let all = ofActivity + ofStore + ofProcesses + ofServer + ofNode + ofProcess
}
