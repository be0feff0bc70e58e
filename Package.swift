// swift-tools-version: 6.2
import PackageDescription

/// The built-in policies: files of Sources/WeightStore/Eviction/Policies.
let policies = ["lru", "lfu", "size", "lfuda", "gdsf", "ttl", "slru", "hyperbolic", "heat", "tail"]

let package = Package(
    name: "WeightStore",
    products: [
        .library(name: "WeightStore", targets: ["WeightStore"]),
        .library(name: "Origins", targets: ["Origins"]),
        .executable(name: "weightstore", targets: ["WeightStoreCLI"]),
        // For tests: opened at run time, as the CUDA driver is.
        .library(name: "cuda-double", type: .dynamic, targets: ["CUDADouble"]),
    ],
    dependencies: [
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.9.0"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "ModelFormats"),
        .target(name: "DeviceMemory"),
        .target(name: "KVCache"),
        .target(
            name: "Migrations",
            path: "Migrations",
            resources: ["v0001_initial", "v0002_kv", "v0004_prompts"].map { .embedInCode("\($0).sql") }),
        .target(
            name: "WeightStore",
            dependencies: [
                "CLinux", "DeviceMemory", "Migrations", "ModelFormats",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: policies.map { .embedInCode("Eviction/Policies/\($0).sql") }),
        .target(
            name: "Origins",
            dependencies: [
                "WeightStore",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]),
        .target(
            name: "Server",
            dependencies: [
                "WeightStore", "DeviceMemory",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        .executableTarget(
            name: "WeightStoreCLI",
            dependencies: [
                "CLinux", "WeightStore", "DeviceMemory", "ModelFormats", "Origins", "Server",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/weightstore"),
        // Measures; Tests/kv-benchmark runs it beside its peers.
        .executableTarget(name: "kv-benchmark", dependencies: ["KVCache", "WeightStore"], path: "Tests/KVBenchmark"),
        // A small engine in a process of its own: records use, is warmed, and tells what its first requests cost.
        .executableTarget(name: "warm-engine", dependencies: ["WeightStore"], path: "Tests/WarmEngine"),
        .target(name: "CUDADouble", path: "Tests/CUDADouble"),
        .target(name: "TestSupport", dependencies: ["DeviceMemory", "ModelFormats"], path: "Tests/TestSupport"),
        .testTarget(name: "ModelFormatsTests", dependencies: ["ModelFormats"]),
        .testTarget(name: "KVCacheTests", dependencies: ["KVCache"]),
        .testTarget(name: "DeviceMemoryTests", dependencies: ["DeviceMemory", "TestSupport"]),
        .testTarget(
            name: "WeightStoreTests",
            dependencies: [
                "TestSupport", "WeightStore", "DeviceMemory", "Migrations", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        .testTarget(
            name: "OriginsTests",
            dependencies: [
                "TestSupport", "Origins", "WeightStore", "WeightStoreCLI",
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]),
        .testTarget(
            name: "ServerTests",
            dependencies: [
                "TestSupport", "Server", "ModelFormats", "WeightStore", "WeightStoreCLI",
                .product(name: "HTTPTypes", package: "swift-http-types"), .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "TestSupport", "warm-engine", "WeightStore", "WeightStoreCLI", "DeviceMemory", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        .testTarget(
            name: "FaultTests",
            dependencies: [
                "ModelFormats", "TestSupport", "WeightStore", "WeightStoreCLI", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
    ],
    swiftLanguageModes: [.v6])
