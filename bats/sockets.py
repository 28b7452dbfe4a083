#!/usr/bin/python3
"""A service that answers with the address of the sender, and its client.

Usage: sockets.py serve tcp|udp FIRST [LAST]       answers on these ports, on all addresses
       sockets.py listen tcp|udp ADDRESS PORT      only listens
       sockets.py ask tcp|udp ADDRESS PORT [FROM]  prints the answer: ADDRESS-OF-THE-SENDER PORT-OF-THE-SERVICE
                                                   The variable SECONDS_TO_WAIT has the timeout; default: 2
"""
import os
import selectors
import socket
import sys

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def opened(kind, address, port):
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[kind])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    if kind == "tcp":
        server.listen()
    return server


def text(source, port):
    return f"{source[0].removeprefix('::ffff:')} {port}".encode()


def serve(kind, first, last):
    waiting = selectors.DefaultSelector()
    for port in range(first, last + 1):
        waiting.register(opened(kind, "::", port), selectors.EVENT_READ, port)
    while True:
        for key, _ in waiting.select():
            if kind == "udp":
                _, source = key.fileobj.recvfrom(100)
                key.fileobj.sendto(text(source, key.data), source)
            else:
                connection, source = key.fileobj.accept()
                connection.sendall(text(source, key.data))
                connection.close()


def ask(kind, address, port, source):
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[kind])
    client.settimeout(int(os.environ.get("SECONDS_TO_WAIT", 2)))
    if source:
        client.bind((source, 0))
    client.connect((address, port))
    if kind == "udp":
        client.send(b"?")
    answer = client.recv(100).decode()
    if not answer:
        sys.exit("no answer")
    print(answer)


verb, kind, *rest = sys.argv[1:]
if verb == "serve":
    serve(kind, int(rest[0]), int(rest[-1]))
elif verb == "listen":
    server = opened(kind, rest[0], int(rest[1]))
    selectors.DefaultSelector().select()
else:
    try:
        ask(kind, rest[0], int(rest[1]), rest[2] if rest[2:] else None)
    except OSError as error:
        sys.exit(str(error))
