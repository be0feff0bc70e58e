// swift-tools-version: 6.2
import PackageDescription

/// `Tests/quick` sets it: the modules above WeightStore are left out, with the packages that they need. SwiftPM
/// builds all test targets into one bundle, so a filter alone would still build them.
let isQuick = Context.environment["WEIGHTSTORE_QUICK"] != nil

/// `Tests/fuzz` sets it: then the package has only the modules that the fuzzer needs, so that nothing links a network.
let isFuzzing = Context.environment["WEIGHTSTORE_FUZZ"] != nil

/// The built-in policies: files of Sources/Policies/BuiltIn.
let policies = ["lru", "lfu", "size", "lfuda", "gdsf", "ttl", "slru", "hyperbolic", "heat", "tail"]

// The modules, from the bottom up. A module imports only modules above it in this list; `Tests/run` builds with
// `--explicit-target-dependency-import-check error`, so that any other import fails.
let modules: [Target] = [
    .target(name: "Support"),
    .target(name: "CLinux"),
    .target(name: "CSQLite"),
    .target(name: "Files", dependencies: ["Support", "CLinux"]),
    .target(name: "ModelFormats"),
    .target(name: "DeviceMemory", dependencies: ["Support"]),
    .target(name: "KVCompression"),
    .target(
        name: "Migrations",
        path: "Migrations",
        resources: [
            "v0001_initial", "v0002_kv", "v0003_fleet", "v0004_prompts", "v0005_kv_sharing", "v0006_shard_version",
            "v0007_names", "v0008_store_identity", "v0009_imports", "v0010_revision_origins",
            "v0011_removal_slices", "v0012_cutting_rule", "v0013_activity", "v0014_examined_directories",
        ].map { .embedInCode("\($0).sql") }),
    .target(
        name: "Storage",
        dependencies: [
            "Support", "Files", "ModelFormats", "Migrations",
            .product(name: "Crypto", package: "swift-crypto"),
            .product(name: "GRDB", package: "GRDB.swift"),
            .product(name: "GRDBSQLite", package: "GRDB.swift"),
            .product(name: "Logging", package: "swift-log"),
        ]),
    .target(
        name: "Policies",
        dependencies: ["Support", "Files", "Storage", .product(name: "GRDBSQLite", package: "GRDB.swift")],
        resources: policies.map { .embedInCode("BuiltIn/\($0).sql") }),
    .target(
        name: "Tiers",
        dependencies: ["Support", "Files", "ModelFormats", "DeviceMemory", "Storage", "Policies"]),
    .target(
        name: "WeightStore",
        dependencies: [
            "Support", "Files", "ModelFormats", "DeviceMemory", "Storage", "Policies", "Tiers",
            .product(name: "Crypto", package: "swift-crypto"),
            .product(name: "GRDB", package: "GRDB.swift"),
            .product(name: "Logging", package: "swift-log"),
            .product(name: "Metrics", package: "swift-metrics"),
        ]),
]

/// URLs, routes, ranges, dates and listings: the formats of the network, without network code.
let wireFormats = Target.target(name: "WireFormats", dependencies: ["Support", "WeightStore"])

let services: [Target] = [
    wireFormats,
    .target(name: "Pictures", dependencies: ["Support", "WeightStore"]),
    .target(
        name: "Origins",
        dependencies: [
            "Support", "Files", "WeightStore", "WireFormats",
            .product(name: "AsyncHTTPClient", package: "async-http-client"),
            .product(name: "Crypto", package: "swift-crypto"),
            .product(name: "NIOCore", package: "swift-nio"),
            .product(name: "NIOHTTP1", package: "swift-nio"),
            .product(name: "NIOPosix", package: "swift-nio"),
            .product(name: "NIOSSL", package: "swift-nio-ssl"),
        ]),
    .target(
        name: "Fleet",
        dependencies: [
            "Support", "Storage", "WeightStore", "WireFormats", "Origins",
            .product(name: "GRDB", package: "GRDB.swift"),
            .product(name: "Logging", package: "swift-log"),
        ]),
    .target(
        name: "Server",
        dependencies: [
            "Support", "Files", "WeightStore", "WireFormats", "Origins", "Pictures",
            .product(name: "Crypto", package: "swift-crypto"),
            .product(name: "HTTPTypes", package: "swift-http-types"),
            .product(name: "Hummingbird", package: "hummingbird"),
            .product(name: "HummingbirdCore", package: "hummingbird"),
            .product(name: "Logging", package: "swift-log"),
            .product(name: "NIOCore", package: "swift-nio"),
            .product(name: "NIOHTTP1", package: "swift-nio"),
            .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
            .product(name: "NIOPosix", package: "swift-nio"),
            .product(name: "NIOSSL", package: "swift-nio-ssl"),
            .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        ],
        resources: ["dashboard.css", "dashboard.js"].map { .embedInCode("Dashboard/Assets/\($0)") }),
    .target(name: "CFUSE"),
    .target(
        name: "Mount",
        dependencies: [
            "CFUSE", "Support", "Files", "WeightStore", "Origins", .product(name: "Logging", package: "swift-log"),
        ]),
    .systemLibrary(name: "CWeightStoreHeader", path: "Sources/CWeightStore/Header"),
    .target(
        name: "CWeightStore",
        dependencies: [
            "CWeightStoreHeader", "Support", "Origins", "WeightStore",
            .product(name: "Logging", package: "swift-log"),
        ],
        path: "Sources/CWeightStore/Library",
        // In release builds the library stands alone: it contains the Swift runtime and exports the interface alone.
        // It is never unloaded, because its threads keep running.
        linkerSettings: [
            .unsafeFlags(
                [
                    "-static-stdlib", "-Xlinker", "-soname=libweightstore.so.1", "-Xlinker", "-z", "-Xlinker",
                    "nodelete",
                    "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/CWeightStore/exports.map",
                ], .when(configuration: .release))
        ]),
    .executableTarget(
        name: "Command",
        dependencies: [
            "CLinux", "CSQLite", "Support", "Files", "ModelFormats", "DeviceMemory", "WeightStore", "Origins", "Fleet",
            "Server", "Mount", "Pictures", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            .product(name: "Configuration", package: "swift-configuration"),
            .product(name: "Logging", package: "swift-log"),
            .product(name: "TOMLKit", package: "TOMLKit"),
        ],
        exclude: ["build-facts", "install", "package-deb", "Packaging"],
        resources: ["dashboard.json", "alerts.yml"].map { .embedInCode("Monitoring/\($0)") },
        // TOMLKit gives members to String and Array, such as a subscript: only the file that imports it has them.
        swiftSettings: [.enableUpcomingFeature("MemberImportVisibility")],
        // Nothing is loaded into the tool that needs its symbols: without them it starts faster, and is smaller.
        linkerSettings: [.unsafeFlags(["-Xlinker", "--no-export-dynamic"], .when(configuration: .release))],
        plugins: ["BuildFacts"]),
    // Writes the commit and the packages of a build, for `weightstore version`.
    .plugin(name: "BuildFacts", capability: .buildTool(), path: "Sources/BuildFacts"),
]

let tests: [Target] = [
    .target(name: "CUDADouble", path: "Tests/CUDADouble"),
    .target(
        name: "TestSupport",
        dependencies: [
            "Support", "DeviceMemory", "Migrations", "ModelFormats", .product(name: "GRDB", package: "GRDB.swift"),
        ],
        path: "Tests/TestSupport"),
    .testTarget(name: "SupportTests", dependencies: ["Support", "TestSupport"]),
    .testTarget(name: "ModelFormatsTests", dependencies: ["ModelFormats", "TestSupport"]),
    .testTarget(name: "KVCompressionTests", dependencies: ["KVCompression"]),
    .testTarget(name: "DeviceMemoryTests", dependencies: ["Support", "DeviceMemory", "TestSupport"]),
    .testTarget(
        name: "WeightStoreTests",
        dependencies: [
            "TestSupport", "Support", "Files", "ModelFormats", "DeviceMemory", "Storage", "Policies", "Tiers",
            "WeightStore", "Migrations", .product(name: "GRDB", package: "GRDB.swift"),
            .product(name: "Logging", package: "swift-log"), .product(name: "Metrics", package: "swift-metrics"),
        ]),
]

let serviceTests: [Target] = [
    // Measures; Tests/kv-benchmark runs it beside its peers.
    .executableTarget(name: "kv-benchmark", dependencies: ["KVCompression", "WeightStore"], path: "Tests/KVBenchmark"),
    // A small engine in its own process: records use, is warmed, and prints the cost of its first requests.
    .executableTarget(name: "warm-engine", dependencies: ["WeightStore"], path: "Tests/WarmEngine"),
    // An engine of the tests: streams layers, and computes with them.
    .executableTarget(name: "example-engine", dependencies: ["WeightStore"], path: "Tests/ExampleEngine"),
    .testTarget(name: "WireFormatsTests", dependencies: ["TestSupport", "Support", "WeightStore", "WireFormats"]),
    .testTarget(
        name: "OriginsTests",
        dependencies: [
            "TestSupport", "Support", "Files", "Storage", "Policies", "Tiers", "WeightStore", "WireFormats", "Origins",
            "Command",
            .product(name: "NIOHTTP1", package: "swift-nio"),
        ]),
    .testTarget(
        name: "FleetTests",
        dependencies: [
            "TestSupport", "Support", "Storage", "WeightStore", "Origins", "Fleet", "Command",
            .product(name: "Logging", package: "swift-log"),
        ]),
    .testTarget(
        name: "ServerTests",
        dependencies: [
            "TestSupport", "Support", "ModelFormats", "Storage", "WeightStore", "WireFormats", "Origins", "Server",
            "Command", .product(name: "GRDB", package: "GRDB.swift"),
            .product(name: "HTTPTypes", package: "swift-http-types"), .product(name: "Logging", package: "swift-log"),
        ]),
    .testTarget(
        name: "CommandTests",
        dependencies: [
            "TestSupport", "Files", "Support", "warm-engine", "Migrations", "Storage", "Tiers", "WeightStore",
            "Pictures",
            "Command",
            "DeviceMemory", .product(name: "GRDB", package: "GRDB.swift"),
        ]),
    .testTarget(
        name: "EngineTests",
        dependencies: [
            "TestSupport", "CWeightStore", "ModelFormats", "WeightStore", "Command", "example-engine",
        ],
        exclude: ["Programs", "Python"]),
    .testTarget(
        name: "FaultTests",
        dependencies: [
            "TestSupport", "Support", "ModelFormats", "Files", "Storage", "WeightStore", "Origins", "Command",
            .product(name: "GRDB", package: "GRDB.swift"), .product(name: "Logging", package: "swift-log"),
        ]),
]

let fuzzing: [Target] = [
    wireFormats,
    .executableTarget(
        name: "weightstore-fuzz", dependencies: ["Support", "ModelFormats", "Storage", "WeightStore", "WireFormats"],
        path: "Tests/Fuzz", exclude: ["Corpus"]),
]

let products: [Product] = [
    .library(name: "WeightStore", targets: ["WeightStore"]),
    .library(name: "KVCompression", targets: ["KVCompression"]),
    // For tests: opened at run time, as the CUDA driver is.
    .library(name: "cuda-double", type: .dynamic, targets: ["CUDADouble"]),
]

let serviceProducts: [Product] = [
    .library(name: "Origins", targets: ["Origins"]),
    .executable(name: "weightstore", targets: ["Command"]),
    // libweightstore: Sources/Command/install gives it its name.
    .library(name: "weightstore-c", type: .dynamic, targets: ["CWeightStore"]),
]

let dependencies: [Package.Dependency] = [
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
]

let serviceDependencies: [Package.Dependency] = [
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.9.0"),
]

let package =
    isFuzzing
    ? Package(
        name: "WeightStore", dependencies: dependencies, targets: modules + fuzzing, swiftLanguageModes: [.v6])
    : Package(
        name: "WeightStore",
        products: products + (isQuick ? [] : serviceProducts),
        dependencies: dependencies + (isQuick ? [] : serviceDependencies),
        targets: modules + tests + (isQuick ? [] : services + serviceTests),
        swiftLanguageModes: [.v6])
