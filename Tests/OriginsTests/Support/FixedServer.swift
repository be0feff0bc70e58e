import TestSupport

/// An HTTP server that answers each GET with the same bytes.
final class FixedServer: Sendable {
    let port: Int
    var url: String { "http://127.0.0.1:\(port)" }
    private let directory: TemporaryDirectory
    private let server: ChildProcess

    private static let script = """
        import http.server, sys, time
        body = open(sys.argv[1], "rb").read()
        piece, pause = int(sys.argv[2]), float(sys.argv[3])
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for start in range(0, len(body), piece):
                    self.wfile.write(body[start : start + piece])
                    self.wfile.flush()
                    time.sleep(pause)
            def log_message(self, *arguments): pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_port, flush=True)
        server.serve_forever()
        """

    /// - Parameters:
    ///   - piece: the number of bytes that are sent at once.
    ///   - pause: seconds after each piece.
    init(_ body: String, piece: Int = 1 << 20, pause: Double = 0) throws {
        directory = try TemporaryDirectory()
        let file = try directory.write(body, to: "body")
        server = try ChildProcess.daemon([
            "/usr/bin/env", "python3", "-c", Self.script, file, "\(piece)", "\(pause)",
        ])
        let line = try server.line()
        guard let port = Int(line) else { throw ChildProcess.Failed(command: ["python3"], reason: line) }
        self.port = port
    }
}
