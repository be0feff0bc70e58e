import Foundation
import Server
import TestSupport
import Testing
import WeightStore

/// The real Python client of the Hugging Face Hub against the server, with the real model.
@Suite(
    .blocking, .enabled(if: RealModel.path != nil, "WEIGHTSTORE_REAL_MODEL is not set; Tests/run sets it"),
    .enabled(if: HubPython.path != nil, "WEIGHTSTORE_HUB_PYTHON is not set; Tests/run sets it"))
struct HubClientTests {
    /// Tokens, and whether the server has a certificate.
    private static let servers: [(String?, Bool)] =
        Sweep.isFull
        ? [(nil, false), ("hf_t0ken", false), ("hf_t0ken", true)] : [(nil, false), ("hf_t0ken", true)]

    @Test(
        "downloads, listings, metadata and errors are as from the Hub; with a token and by https, too",
        arguments: servers)
    func client(token: String?, encrypted: Bool) async throws {
        let source = try #require(RealModel.path)
        let model = "sentence-transformers/all-MiniLM-L6-v2"
        var options = ServerOptions()
        options.tokens = try token.map { [try AccessToken($0, source: "test")] }
        let certificates = try TemporaryDirectory()
        let authority = encrypted ? try CertificateAuthority(certificates) : nil
        if let certificate = try authority?.issue("server") {
            options.certificate = try ServerCertificate(certificate: certificate.chain, key: certificate.key)
        }
        let server = try await TestServer(options)
        try await onThread {
            try server.store.importModelBlocking(ImportRequest(source: source, name: model))
            try server.store.setRef("prod", to: model)
        }
        let work = server.directory("client")
        try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
        let python = try #require(HubPython.path)
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let command = [python, script.appendingPathComponent("hub-client.py").path, model, source, work]
        var environment = HubPython.withoutProxies
        environment["HF_ENDPOINT"] = "\(encrypted ? "https" : "http")://127.0.0.1:\(server.port)"
        if let authority { environment.merge(authority.environment.mapValues(Optional.some)) { $1 } }
        environment.updateValue(token, forKey: "HF_TOKEN")
        let result = try await onThread { [environment] in try ChildProcess.run(command, environment: environment) }
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(result.output.hasSuffix("done\n"))
        if let token { #expect(!server.log.lines.contains { $0.contains(token) }) }
    }
}
