#!/usr/bin/env python3
"""Forwards HTTP requests to a server on this machine, records the ranges that they request, and holds some of them back.

    Tests/range-gate.py PORT LOG OPEN FIRST END

Prints its port. Appends "first end" to LOG for each request with a range of bytes, and forwards those that overlap FIRST to END
when the file OPEN exists.
"""
import os, re, socket, sys, threading, time

port, log, opened, first, end = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
lock = threading.Lock()


def answer(server, client):
    try:
        while piece := server.recv(1 << 20):
            client.sendall(piece)
    except OSError:
        pass
    client.close()


def serve(client):
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=answer, args=(server, client), daemon=True).start()
    rest = b""
    try:
        while piece := client.recv(1 << 16):
            rest += piece
            while b"\r\n\r\n" in rest:
                head, rest = rest.split(b"\r\n\r\n", 1)
                if found := re.search(rb"(?im)^range: *bytes=(\d+)-(\d+)", head):
                    start, stop = int(found[1]), int(found[2]) + 1
                    with lock, open(log, "a") as file:
                        file.write(f"{start} {stop}\n")
                    while start < end and first < stop and not os.path.exists(opened):
                        time.sleep(0.01)
                server.sendall(head + b"\r\n\r\n")
    except OSError:
        pass
    server.close()


listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
