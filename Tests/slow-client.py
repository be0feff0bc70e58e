#!/usr/bin/env python3
"""A client that reads a file at a given pace, and prints the number of bytes that arrived.

    slow-client.py URL PACE [AUTHORITY]

PACE is in bytes per second; with 0 it sends four requests and never reads. AUTHORITY is the certificate to trust.
Prints "begun" when the answer has begun, and in the end the number of bytes of its body.
"""
import socket
import ssl
import sys
import time
import urllib.parse

url, pace = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
connection = socket.socket()
# The kernel's buffer for it is small.
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
connection.connect((url.hostname, url.port))
if url.scheme == "https":
    connection = ssl.create_default_context(cafile=sys.argv[3]).wrap_socket(connection, server_hostname=url.hostname)
request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
# The unread bytes must exceed all buffers of the kernel.
connection.sendall(request * (1 if pace else 4))
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
