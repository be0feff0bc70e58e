// swift-tools-version: 6.2
import PackageDescription

/// The built-in policies: files of Sources/WeightStore/Eviction/Policies.
let policies = ["lru", "lfu", "size", "lfuda", "gdsf", "ttl", "slru", "hyperbolic", "heat"]

let package = Package(
    name: "WeightStore",
    products: [
        .library(name: "WeightStore", targets: ["WeightStore"]),
        .executable(name: "weightstore", targets: ["WeightStoreCLI"]),
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
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: policies.map { .embedInCode("Eviction/Policies/\($0).sql") }),
        .executableTarget(
            name: "WeightStoreCLI",
            dependencies: [
                "CLinux", "WeightStore", "DeviceMemory", "ModelFormats",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/weightstore"),
        .testTarget(name: "ModelFormatsTests", dependencies: ["ModelFormats"]),
        .target(name: "TestSupport", dependencies: ["ModelFormats"], path: "Tests/TestSupport"),
        .testTarget(
            name: "WeightStoreTests",
            dependencies: [
                "TestSupport", "WeightStore", "DeviceMemory", "Migrations", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        .testTarget(name: "CommandLineTests", dependencies: [
                "TestSupport", "WeightStore", "WeightStoreCLI", "DeviceMemory", .product(name: "GRDB", package: "GRDB.swift"),
            ]),
    ],
    swiftLanguageModes: [.v6])
