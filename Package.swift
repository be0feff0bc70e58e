// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "WeightStore",
    products: [
        .library(name: "WeightStore", targets: ["WeightStore"]),
        .executable(name: "weightstore", targets: ["WeightStoreCLI"]),
        // For tests: opened at run time, as the CUDA driver is.
        .library(name: "cuda-double", type: .dynamic, targets: ["CUDADouble"]),
    ],
    dependencies: [
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "ModelFormats"),
        .target(name: "DeviceMemory"),
        .target(name: "KVCache"),
        .target(
            name: "Migrations",
            path: "Migrations",
            resources: [.embedInCode("v0001_initial.sql")]),
        .target(
            name: "WeightStore",
            dependencies: [
                "CLinux", "DeviceMemory", "Migrations", "ModelFormats",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .executableTarget(
            name: "WeightStoreCLI",
            dependencies: [
                "CLinux", "WeightStore", "DeviceMemory", "ModelFormats",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/weightstore"),
        // Measures; Tests/kv-benchmark runs it beside its peers.
        .executableTarget(name: "kv-benchmark", dependencies: ["KVCache"], path: "Tests/KVBenchmark"),
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
        .testTarget(name: "CommandLineTests", dependencies: ["TestSupport", "WeightStoreCLI"]),
        .testTarget(
            name: "FaultTests",
            dependencies: [
                "ModelFormats", "TestSupport", "WeightStore", "WeightStoreCLI", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
    ],
    swiftLanguageModes: [.v6])
