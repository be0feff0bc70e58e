import Foundation
import Glibc
import Origins
import Support
import TestSupport
import Testing
@testable import Fleet
@testable import WeightStore

@Suite(.blocking) struct PeerPatienceTests {
    @Test("a peer that refuses at once is retried with growing pauses, not in a loop")
    func refusing() throws {
        let directory = try TemporaryDirectory()
        let log = directory("log")
        let server = try ChildProcess.daemon([
            "/usr/bin/env", "python3", "-c",
            """
            import http.server, sys
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    open(sys.argv[1], "a").write(self.path + "\\n")
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                def log_message(self, *arguments): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            print(server.server_port, flush=True)
            server.serve_forever()
            """, log,
        ])
        let port = Int(try server.line())!
        let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        let peer = NodeInfo(name: "peer", url: "peer+http://127.0.0.1:\(port)", follows: [try Follow("org/model")])
        // A name whose node requests this shard from the peer.
        let selector = try #require(
            (0..<64).lazy.map { number -> PeerSelector in
                let selector = PeerSelector(ownName: "node-\(number)")
                selector.set([peer])
                return selector
            }.first { $0.depth(of: digest, model: "org/model") == 1 })
        let work = Work()
        try startThread {
            sleep(3)
            work.cancel()
        }
        #expect(selector.manifest(digest, model: "org/model", work) == nil)
        let requests = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").count
        #expect((2...10).contains(requests), "\(requests)")
    }
}
