#!/usr/bin/env python3
"""A client that takes a file as slowly as it is told, and says how much of it came.

    slow-client.py URL PACE [AUTHORITY]

PACE is in bytes a second; with 0 it takes nothing, for ever. AUTHORITY is the certificate to trust. Writes "begun" when
the answer has begun, and in the end the number of bytes of its body.
"""
import socket
import ssl
import sys
import time
import urllib.parse

url, pace = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
connection = socket.socket()
# What the kernel takes for it is little.
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
connection.connect((url.hostname, url.port))
if url.scheme == "https":
    connection = ssl.create_default_context(cafile=sys.argv[3]).wrap_socket(connection, server_hostname=url.hostname)
connection.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
answer = connection.recv(1)
print("begun", flush=True)
while pace == 0:
    time.sleep(1)
start = time.monotonic()
count, head = 1, None
while piece := connection.recv(1 << 14):
    count += len(piece)
    if head is None:
        answer += piece
        end = answer.find(b"\r\n\r\n")
        if end >= 0:
            head = end + 4
            length = next(int(line[15:]) for line in answer[:end].split(b"\r\n") if line.lower().startswith(b"content-length:"))
    if head is not None and count - head >= length:
        break
    time.sleep(max(start + count / pace - time.monotonic(), 0))
print(count - (head or count), flush=True)
