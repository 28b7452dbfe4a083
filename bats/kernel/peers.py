#!/usr/bin/python3
"""Serves TCP connections to PORT, IPv4 and IPv6: sends the address of the client and the segment size, and closes the connection.

Usage: peers.py PORT
"""
import ipaddress
import socket
import sys

server = socket.create_server(("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
while True:
    connection, (address, *_) = server.accept()
    parsed = ipaddress.ip_address(address)
    with connection:
        size = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        connection.sendall(f"{parsed.ipv4_mapped or parsed} {size}\n".encode())
