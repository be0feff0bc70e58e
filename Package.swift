// swift-tools-version: 6.2
import PackageDescription

/// The built-in policies: files of Sources/WeightStore/Eviction/Policies.
let policies = ["lru", "lfu", "size", "lfuda", "gdsf", "ttl", "slru", "hyperbolic", "heat", "tail"]

let package = Package(
    name: "WeightStore",
    products: [
        .library(name: "WeightStore", targets: ["WeightStore"]),
        .library(name: "Origins", targets: ["Origins"]),
        .library(name: "KVCache", targets: ["KVCache"]),
        .executable(name: "weightstore", targets: ["WeightStoreCLI"]),
        // libweightstore: Sources/CWeightStore/install gives it its name.
        .library(name: "weightstore-c", type: .dynamic, targets: ["CWeightStore"]),
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
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
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
            resources: ["v0001_initial", "v0002_kv", "v0003_fleet", "v0004_prompts", "v0005_kv_sharing"].map {
                .embedInCode("\($0).sql")
            }),
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
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]),
        .target(
            name: "Fleet",
            dependencies: [
                "WeightStore", "Origins",
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOHTTP1", package: "swift-nio"),
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
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        .systemLibrary(name: "CWeightStoreHeader", path: "Sources/CWeightStore/Header"),
        .target(
            name: "CWeightStore",
            dependencies: [
                "CWeightStoreHeader", "DeviceMemory", "Origins", "WeightStore",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/CWeightStore/Library",
            // In release builds the library stands alone: the Swift runtime inside, nothing to be seen but the interface.
            // It stays loaded once it is, because its threads live on.
            linkerSettings: [
                .unsafeFlags(
                    [
                        "-static-stdlib", "-Xlinker", "-soname=libweightstore.so.1", "-Xlinker", "-z", "-Xlinker", "nodelete",
                        "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/CWeightStore/exports.map",
                    ], .when(configuration: .release)),
            ]),
        .executableTarget(
            name: "WeightStoreCLI",
            dependencies: [
                "CLinux", "WeightStore", "DeviceMemory", "Fleet", "ModelFormats", "Origins", "Server",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/weightstore"),
        // Measures; Tests/kv-benchmark runs it beside its peers.
        .executableTarget(name: "kv-benchmark", dependencies: ["KVCache", "WeightStore"], path: "Tests/KVBenchmark"),
        // A small engine in a process of its own: records use, is warmed, and tells what its first requests cost.
        .executableTarget(name: "warm-engine", dependencies: ["WeightStore"], path: "Tests/WarmEngine"),
        // An engine of the tests' own: streams layers, and computes with them.
        .executableTarget(name: "example-engine", dependencies: ["WeightStore"], path: "Tests/ExampleEngine"),
        .target(name: "CUDADouble", path: "Tests/CUDADouble"),
        .target(
            name: "TestSupport",
            dependencies: ["DeviceMemory", "Migrations", "ModelFormats", .product(name: "GRDB", package: "GRDB.swift")],
            path: "Tests/TestSupport"),
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
            name: "FleetTests", dependencies: ["TestSupport", "Fleet", "Origins", "WeightStore", "WeightStoreCLI"]),
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
            name: "EngineTests",
            dependencies: [
                "TestSupport", "CWeightStore", "ModelFormats", "WeightStore", "WeightStoreCLI", "example-engine",
            ],
            exclude: ["Programs", "Python"]),
        .testTarget(
            name: "FaultTests",
            dependencies: [
                "ModelFormats", "TestSupport", "WeightStore", "WeightStoreCLI", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
    ],
    swiftLanguageModes: [.v6])
