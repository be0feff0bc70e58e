import Foundation
import Glibc
import TestSupport

/// A real web server over the hub's tree, on free ports: it answers the API from files, serves ranges, and redirects
/// large files to another of its ports.
final class NGINX: Sendable {
    static let path = ["/usr/sbin/nginx", "/usr/bin/nginx"].first(where: FileManager.default.isExecutableFile)

    let port: Int
    let contentPort: Int
    let log: String
    private let ports: (api: FreePort, content: FreePort)
    private let server: ChildProcess

    init(_ fixture: HubFixture, redirecting: Bool = true) throws {
        let directory = fixture.directory("nginx")
        let ports = (api: try FreePort(), content: try FreePort())
        self.ports = ports
        let (port, contentPort) = (ports.api.number, ports.content.number)
        (self.port, self.contentPort) = (port, contentPort)
        log = directory + "/access.log"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try ChildProcess.check(
            "python3", HubServer.script, "--tree", fixture.directory("hub"), directory + "/tree",
            "http://localhost:\(contentPort)")
        let redirect =
            redirecting
            ? "location ~ ^/.*/resolve/.*safetensors$ { return 302 http://localhost:\(contentPort)$uri?signature=x; }"
            : ""
        try """
        worker_processes 1; daemon off; master_process off; pid \(directory)/pid; error_log \(directory)/error.log;
        user root;
        events { worker_connections 256; }
        http {
          access_log \(directory)/access.log; sendfile on; tcp_nopush on; default_type application/octet-stream;
          client_body_temp_path \(directory)/a; proxy_temp_path \(directory)/b; fastcgi_temp_path \(directory)/c;
          uwsgi_temp_path \(directory)/d; scgi_temp_path \(directory)/e;
          server {
            listen 127.0.0.1:\(port); root \(directory)/tree; index index.json;
            location /api { try_files $uri/index.json =404; }
            \(redirect)
          }
          server { listen 127.0.0.1:\(contentPort); listen [::1]:\(contentPort); root \(directory)/tree; }
        }
        """.write(toFile: directory + "/nginx.conf", atomically: true, encoding: .utf8)
        server = try ChildProcess.daemon([Self.path!, "-c", directory + "/nginx.conf", "-p", directory])
        for _ in 0..<200 {
            if (try? HTTP.get("http://127.0.0.1:\(port)/api/models/org/model/revision/main")) != nil { return }
            usleep(20_000)
        }
        throw CocoaError(.fileReadUnknown)
    }

    var url: String { "http://127.0.0.1:\(port)" }
}
