#!/usr/bin/env python3
"""An HTTP proxy in front of an S3 service whose listings lag: it prints its port.

    s3-proxy.py SERVICE-PORT [ADDRESS]

Each listing returns its first answer, until POST /thaw. Everything else is passed on as it is, so that
signatures, which cover the host's name, stay valid.

POST /hold with a text holds the requests whose method and path contain it, such as "PUT pushes/" (any path between the
two words), until POST /release; GET /held returns the number of held requests.
"""
import http.client
import http.server
import re
import sys
import threading

service = int(sys.argv[1])
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
frozen = {}
held = 0
pattern = None
changed = threading.Condition()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/thaw":
            frozen.clear()
            return self.answer(200, [], b"")
        if self.path in ("/hold", "/release", "/held"):
            return self.answer(200, [], self.control(body))
        self.wait()
        is_listing = self.command == "GET" and ("list-type=2" in self.path or "uploads=" in self.path)
        if is_listing and self.path in frozen:
            return self.answer(*frozen[self.path])
        connection = http.client.HTTPConnection(address, service)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        answer = (response.status, response.getheaders(), response.read())
        connection.close()
        if is_listing and response.status == 200:
            frozen[self.path] = answer
        self.answer(*answer)

    def control(self, body):
        global pattern
        with changed:
            if self.path == "/held":
                return str(held).encode()
            pattern = re.compile(body.decode().replace(" ", " .*")) if self.path == "/hold" else None
            changed.notify_all()
            return b""

    def wait(self):
        global held
        with changed:
            if pattern is None or not pattern.search(f"{self.command} {self.path}"):
                return
            held += 1
            changed.wait_for(lambda: pattern is None)
            held -= 1

    def answer(self, status, headers, body):
        self.send_response_only(status)
        has_length = False
        for name, value in headers:
            if name.lower() in ("connection", "transfer-encoding"):
                continue
            has_length = has_length or name.lower() == "content-length"
            self.send_header(name, value)
        if not has_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer((address, 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
