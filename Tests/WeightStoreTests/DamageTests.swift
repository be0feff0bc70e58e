import Files
import Foundation
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// Damaged and missing blobs that a read finds, rather than a verification.
@Suite(.blocking) struct DamageTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 1).write(to: directory("base"))
        try TestModel(layers: 1, seed: 2).write(to: directory("local"))
        var request = ImportRequest(source: directory("base"))
        request.origins = ["file://\(directory("base"))"]
        try store.importModelBlocking(request)
        try store.importModelBlocking(ImportRequest(source: directory("local")))
    }

    /// The largest shard of a model, cut short.
    private func cut(_ name: String) throws -> ContentDigest {
        let shards = try store.catalog.read { db in
            try ShardTable.present(of: RevisionRow.find(name, db).id, verifiedBefore: nil, db).shards
                .compactMap { try ShardTable.find(id: $0, db) }
        }
        let shard = try #require(shards.max { $0.bytes < $1.bytes })
        let path = store.blobs.path(shard.digest)
        chmod(path, 0o644)
        truncate(path, off_t(shard.bytes - 5000))
        return shard.digest
    }

    /// The largest shard of a model, with a changed bit.
    private func flip(_ name: String) throws -> ContentDigest {
        let shards = try store.catalog.read { db in
            try ShardTable.present(of: RevisionRow.find(name, db).id, verifiedBefore: nil, db).shards
                .compactMap { try ShardTable.find(id: $0, db) }
        }
        let shard = try #require(shards.max { $0.bytes < $1.bytes })
        let path = store.blobs.path(shard.digest)
        var bytes = try contents(path)
        bytes[bytes.count / 2] ^= 1
        chmod(path, 0o644)
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try file.write(contentsOf: Data(bytes))
        try file.close()
        return shard.digest
    }

    private func state(_ digest: ContentDigest) throws -> ShardState? {
        try store.catalog.read { db in try ShardTable.find(digest, db)?.state }
    }

    private func read(_ name: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try store.revision(name).read("model.safetensors") { bytes += $0 }
        return bytes
    }

    @Test("a read that finds a damaged shard sets it aside and fetches it from the origin")
    func healed() throws {
        let digest = try cut("base")
        #expect(try read("base") == contents(directory("base/model.safetensors")))
        #expect(try state(digest) == .present)
        #expect(try FileSystem.entries(store.path + "/quarantine").contains { $0.hasPrefix(digest.hex) })
        #expect(try store.damagedShards().isEmpty)
    }

    @Test("without an origin it fails, and is listed with the revisions that need it; an import restores it")
    func reported() throws {
        let digest = try cut("local")
        #expect {
            try read("local")
        } throws: { error in
            guard case StorageError.damaged(_, digest, _, _) = error else { return false }
            return true
        }
        #expect(try state(digest) == .quarantined)
        let listed = try store.damagedShards()
        #expect(listed.map(\.digest) == [digest])
        #expect(listed.first?.revisions == ["local@~1"])
        try store.importModelBlocking(ImportRequest(source: directory("local")))
        #expect(try read("local") == contents(directory("local/model.safetensors")))
        #expect(try store.damagedShards().isEmpty)
    }

    @Test("a tier that finds a damaged shard fetches it from the origin, and leases it")
    func tier() throws {
        _ = try cut("base")
        try store.open(.ram, TierOptions(budget: 1 << 28))
        let revision = try store.revision("base")
        for layer in try revision.layers() { try revision.leaseBlocking(layer: layer.number, in: .ram).release() }
        #expect(try store.damagedShards().isEmpty)
    }

    @Test(
        "a tier that verifies finds a changed bit: the shard is fetched from its origin, or the damage is the error",
        arguments: [Tier.ram, .host])
    func verifyingTier(tier: Tier) throws {
        let (base, local) = (try flip("base"), try flip("local"))
        try store.open(tier, TierOptions(budget: 1 << 28, verifies: true))
        try store.revision("base").leaseBlocking(in: tier).release()
        #expect(try state(base) == .present)
        #expect(try FileSystem.entries(store.path + "/quarantine").contains { $0.hasPrefix(base.hex) })
        #expect {
            try store.revision("local").leaseBlocking(in: tier).release()
        } throws: { error in
            guard case StorageError.damaged(_, local, _, _) = error else { return false }
            return true
        }
        #expect(try state(local) == .quarantined)
    }

    @Test("a page that cannot be read is damage of its blob, and no signal")
    func populated() throws {
        // So large that it is always mapped, and never copied.
        let bytes = [UInt8](repeating: 7, count: 8 << 20)
        try Data(bytes).write(to: URL(fileURLWithPath: directory("blob")))
        let digest = bytes.withUnsafeBytes { ContentDigest(of: $0) }
        let blob = try MappedBlob(path: directory("blob"), digest: digest, bytes: bytes.count)
        // The pages behind its end are as unreadable as those of a bad sector.
        truncate(directory("blob"), 4096)
        #expect {
            try blob.populate(0..<bytes.count)
        } throws: { error in
            guard case StorageError.damaged(_, digest, _, let found) = error else { return false }
            return found.contains("Input/output error")
        }
    }

    @Test("a shard in quarantine whose bytes are right is restored, from any of its files")
    func putBack() throws {
        let digest = try cut("base")
        _ = try read("base")
        // A second file of the same shard, which is right.
        let blob = store.blobs.path(digest)
        try FileSystem.rename(blob, to: "\(store.path)/quarantine/\(digest).2")
        try store.catalog.write { db in try ShardTable.mark(digest, as: .quarantined, db) }
        #expect(try store.verifyBlocking().reinstated == 1)
        #expect(try state(digest) == .present)
    }

    @Test("a copy of a store without its empty folders opens, and works")
    func folders() throws {
        let copy = directory("copy")
        do {
            let store = try Store(at: copy, create: true)
            try store.importModelBlocking(ImportRequest(source: directory("local")))
        }
        for folder in ["staging", "leases", "quarantine"] {
            try FileManager.default.removeItem(atPath: "\(copy)/\(folder)")
        }
        let store = try Store(at: copy)
        try store.importModelBlocking(ImportRequest(source: directory("base")))
        try store.remove(["local"])
        try store.collectGarbage()
        #expect(try store.models().map(\.name) == ["base"])
    }

    @Test("a system call that is interrupted again and again ends with an error")
    func interruptions() {
        var calls = 0
        #expect(throws: FileError.system(operation: "open", path: "x", code: EINTR)) {
            try retrying("open", "x") {
                calls += 1
                errno = EINTR
                return -1 as Int32
            }
        }
        #expect(calls > 10)
    }
}
