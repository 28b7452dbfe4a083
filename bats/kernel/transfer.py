#!/usr/bin/python3
"""Transfers 200 kB over a TCP connection, first to the service and then back.

Usage: transfer.py serve PORT        the service, IPv4 and IPv6
       transfer.py ask ADDRESS PORT  the client, which fails if a part does not arrive within 5 seconds
"""
import socket
import sys

DATA = bytes(200_000)


def receive(connection):
    length = 0
    while part := connection.recv(65536):
        length += len(part)
    return length


verb, *rest = sys.argv[1:]
if verb == "serve":
    server = socket.create_server(("", int(rest[0])), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            try:
                receive(connection)
                connection.sendall(DATA)
            except OSError:
                pass  # the client has given up
else:
    try:
        with socket.create_connection((rest[0], int(rest[1])), 5) as connection:
            connection.sendall(DATA)
            connection.shutdown(socket.SHUT_WR)
            if receive(connection) != len(DATA):
                sys.exit("incomplete")
    except OSError as error:
        sys.exit(str(error))
