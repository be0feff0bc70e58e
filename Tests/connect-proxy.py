#!/usr/bin/env python3
"""A proxy for tests. Whatever host a client names, it connects to this machine, so the names need not exist.

    Tests/connect-proxy.py LOG [--login USER:PASSWORD] [--status N] [--socks]

Prints its port. Opens connections with the HTTP method CONNECT, or with SOCKS 5 and no login (--socks), and appends
"host:port" to LOG for each. With --login, other logins are answered with 407; with --status, every request is answered with it.
"""
import argparse, base64, socket, struct, threading

parser = argparse.ArgumentParser()
parser.add_argument("log")
parser.add_argument("--login")
parser.add_argument("--status", type=int)
parser.add_argument("--socks", action="store_true")
options = parser.parse_args()


def exactly(client, count):
    received = b""
    while len(received) < count:
        piece = client.recv(count - len(received))
        if not piece:
            raise EOFError
        received += piece
    return received


def connect(client):
    """Reads a CONNECT request. Returns the target and the answer; the target is None if it is refused."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += exactly(client, 1)
    line, *fields = head.decode().split("\r\n")
    method, target, _ = line.split(" ")
    if method != "CONNECT":
        return None, b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"
    if options.status:
        return None, b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % options.status
    expected = options.login and "Basic " + base64.b64encode(options.login.encode()).decode()
    shown = [field.split(": ", 1)[1] for field in fields if field.lower().startswith("proxy-authorization: ")]
    if expected and shown != [expected]:
        return None, b'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="test"\r\nContent-Length: 0\r\n\r\n'
    return target, b"HTTP/1.1 200 Connected\r\n\r\n"


def socks(client):
    """Reads a SOCKS 5 request (RFC 1928) with a host name or an IPv4 address."""
    _, methods = exactly(client, 2)
    exactly(client, methods)
    client.sendall(b"\x05\x00")
    kind = exactly(client, 4)[3]
    host = exactly(client, exactly(client, 1)[0]).decode() if kind == 3 else socket.inet_ntoa(exactly(client, 4))
    port = struct.unpack(">H", exactly(client, 2))[0]
    return f"{host}:{port}", b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


def copy(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    with client:
        try:
            target, answer = (socks if options.socks else connect)(client)
            with open(options.log, "a") as log:
                log.write(f"{target or 'refused'}\n")
            if target is None:
                client.sendall(answer)
                return
            with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as server:
                client.sendall(answer)
                back = threading.Thread(target=copy, args=(server, client), daemon=True)
                back.start()
                copy(client, server)
                back.join()
        except (EOFError, OSError, ValueError):
            pass


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
