import Foundation
import NIOHTTP1
import TestSupport
import Testing
@testable import Origins
@testable import WeightStore

@Suite(.blocking) struct ObjectStoreTests {
    @Test("a request is signed as in the manual of Signature Version 4")
    func signature() {
        // "GET Object" in Amazon's "Signature Calculations for the Authorization Header".
        let signer = SigV4(
            accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", sessionToken: nil,
            region: "us-east-1")
        var headers: HTTPHeaders = ["range": "bytes=0-9"]
        signer.sign(
            method: "GET", host: "examplebucket.s3.amazonaws.com", path: "/test.txt", headers: &headers,
            now: Date(timeIntervalSince1970: 1_369_353_600))
        #expect(
            headers.first(name: "authorization")?.hasSuffix(
                "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41") == true)
    }

    @Test("credentials are read from the environment, or from the files that other tools use")
    func credentials() throws {
        let directory = try TemporaryDirectory()
        try directory.write(
            "[other]\naws_access_key_id = A\n[p]\naws_access_key_id = B\naws_secret_access_key=S\n",
            to: ".aws/credentials")
        try directory.write("[profile p]\nregion = here\nendpoint_url = http://e:1\n", to: ".aws/config")
        var environment = ["HOME": directory(""), "AWS_PROFILE": "p"]
        let found = try S3Credentials.find(for: "s3://b", environment)
        #expect(
            found.accessKey == "B" && found.secretKey == "S" && found.region == "here" && found.endpoint == "http://e:1"
        )
        environment["AWS_ACCESS_KEY_ID"] = "E"
        #expect(try S3Credentials.find(for: "s3://b", environment).accessKey == "E")
        #expect(throws: FetchError.self) { try S3Credentials.find(for: "s3://b", ["HOME": "/nowhere"]) }
    }

    @Test(
        "a revision in a RADOS gateway is pulled by layer, each shard checked; the rest is fetched on its first use",
        .enabled(if: Gateway.isInstalled, "Ceph is not installed, or this is not root; Tests/run installs it"))
    func gateway() throws {
        let fixture = try HubFixture(TestModel(layers: 3))
        let gateway = try Gateway(fixture)
        let source = try Store(at: fixture.directory("source"), create: true)
        let imported = try source.importModelBlocking(ImportRequest(source: fixture.directory("hub/org/model")))
            .revisions[0]
        let url = "s3://weights/some/place"
        let origin = try S3Origin(url, environment: gateway.environment)
        try origin.bucket.createBucket()
        let manifest = source.blobs.path(imported.digest, .manifest)
        #expect(try origin.bucket.create(S3Origin.manifest(imported.digest), contents(manifest)))
        for file in TemporaryDirectory.files(below: source.blobs.root) {
            guard let digest = ContentDigest(hex: file.split(separator: "/").last ?? "") else { continue }
            #expect(try origin.bucket.create(S3Origin.shard(digest), contents("\(source.blobs.root)/\(file)")))
            #expect(try !origin.bucket.create(S3Origin.shard(digest), [0]), "an existing object is not replaced")
        }

        let store = try Store(at: fixture.directory("store"), create: true)
        store.register(scheme: "s3") { [environment = gateway.environment] in try S3Origin($0, environment: environment)
        }
        var request = try fixture.request(FetchSelection(layers: 1...1), "org/model@\(imported.digest)", from: url)
        let summary = try store.pullBlocking(request)
        #expect(!summary.complete && summary.digest == imported.digest)
        let revision = try store.revision("org/model")
        let layer = try revision.tensorEntries(layer: 1)
        #expect(
            try Set(layer.compactMap(\.shard)).allSatisfy { FileManager.default.fileExists(atPath: store.blobPath($0)) }
        )
        #expect(summary.fetched < (try fixture.bytes) / 2)
        #expect(try revision.layer(2).tensors.count == 4)
        #expect(try revision.leaseBlocking(layer: 0, in: .host).tensors.count == 4)
        #expect(try revision.bytes(of: "model.safetensors") == fixture.file())
        request.selection = FetchSelection()
        #expect(try store.pullBlocking(request).complete)
        #expect(try store.verifyBlocking().damage.isEmpty)
        #expect(try store.checkOrigins().map(\.state) == [.holds])
        #expect(try store.revisionOrigins().map(\.origin) == [url])

        // Requests that are denied, and objects that are missing.
        var unknownFiles = gateway.environment
        unknownFiles["AWS_SECRET_ACCESS_KEY"] = "wrongsecret"
        let refused = #expect(throws: FetchError.self) {
            try S3Origin(url, environment: unknownFiles).manifest(imported.digest)
        }
        guard case .unauthorized(_, 403, "SignatureDoesNotMatch", _) = refused else {
            Issue.record("\(refused!)")
            return
        }
        #expect(!"\(refused!)".contains("wrongsecret"))
        let nothing = #expect(throws: FetchError.self) {
            try origin.manifest(ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0)))
        }
        guard case .notFound(_, _, 404) = nothing else {
            Issue.record("\(nothing!)")
            return
        }
    }

    @Test("shards and manifests are fetched from a peer by digest, and bytes that differ are rejected")
    func peer() throws {
        let fixture = try HubFixture(TestModel(layers: 2))
        let source = try Store(at: fixture.directory("source"), create: true)
        let imported = try source.importModelBlocking(ImportRequest(source: fixture.directory("hub/org/model")))
            .revisions[0]
        // The two paths of a peer, served by a web server from copies.
        let tree = fixture.directory("hub/org/peer")
        for kind in ["shards", "manifests"] {
            try FileManager.default.createDirectory(atPath: "\(tree)/\(kind)", withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(
            atPath: source.blobs.path(imported.digest, .manifest), toPath: "\(tree)/manifests/\(imported.digest)")
        for file in TemporaryDirectory.files(below: source.blobs.root) {
            guard let digest = ContentDigest(hex: file.split(separator: "/").last ?? "") else { continue }
            try FileManager.default.copyItem(atPath: "\(source.blobs.root)/\(file)", toPath: "\(tree)/shards/\(digest)")
        }
        let nginx = try NGINX(fixture, redirecting: false)
        let commit =
            try JSONSerialization.jsonObject(
                with: HTTP.get("\(nginx.url)/api/models/org/peer/revision/main")) as? [String: String]
        let url = "peer+\(nginx.url)/org/peer/resolve/\(commit!["sha"]!)"
        let store = try Store(at: fixture.directory("store"), create: true)
        store.register(scheme: "peer+http") { try PeerOrigin($0, token: "") }
        var request = try fixture.request(FetchSelection(layers: 2...9), "org/model@\(imported.digest)", from: url)
        #expect(throws: StorageError.self) { try store.pullBlocking(request) }
        #expect(try store.models().isEmpty)
        request.selection = FetchSelection(layers: 0...0)
        #expect(try !store.pullBlocking(request).complete)
        let revision = try store.revision("org/model")
        #expect(try revision.layer(0).tensors.count == 4)
        #expect(try store.checkOrigins().map(\.state) == [.holds])
        // Another byte in one of the shards of layer 1.
        let shard = try #require(try revision.tensorEntries(layer: 1).compactMap(\.shard).first)
        var bytes = try contents("\(tree)/shards/\(shard)")
        bytes[7] ^= 1
        try FileManager.default.removeItem(atPath: "\(tree)/shards/\(shard)")
        try Data(bytes).write(to: URL(fileURLWithPath: "\(tree)/shards/\(shard)"))
        #expect(throws: StoreError.self) { try revision.layer(1) }
        try FileManager.default.removeItem(atPath: "\(tree)/shards/\(shard)")
        #expect(try store.checkOrigins().map(\.state) == [.lacks])
    }
}
