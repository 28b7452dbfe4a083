#!/usr/bin/python3
"""Sends one frame from a process in a namespace that has CAP_NET_RAW.

Usage: packets.py IFNAME DESTINATION-MAC KIND [ARGUMENT...]
  ra                              ICMPv6 router advertisement: default route, prefix, route, MTU
  redirect6 SOURCE TARGET DST ME  ICMPv6 redirect: what ME sends to DST goes by TARGET; SOURCE '' is the sender
  redirect4 SOURCE ME GATEWAY DST ICMP redirect: what ME sends to DST goes by GATEWAY
  garp ADDRESS                    gratuitous ARP: ADDRESS is at the sender
Option, before IFNAME: --vlan ID
"""
import socket
import struct
import sys


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(address):
    return socket.inet_pton(socket.AF_INET, address)


def ip6(address):
    return socket.inet_pton(socket.AF_INET6, address)


def ipv4(source, destination, protocol, payload):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, ip4(source), ip4(destination))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source, destination, protocol, payload, at):
    """`at` is where the checksum is in the payload."""
    pseudo = ip6(source) + ip6(destination) + struct.pack("!II", len(payload), protocol)
    payload = payload[:at] + struct.pack("!H", checksum(pseudo + payload)) + payload[at + 2:]
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + ip6(source) + ip6(destination) + payload


def link_local(ifname):
    for line in open("/proc/net/if_inet6"):
        address, _, _, scope, _, name = line.split()
        if name == ifname and scope == "20":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
    sys.exit(f"{ifname} has no link-local address")


def advertisement(ifname, mac):
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    message += struct.pack("!BB6s", 1, 1, mac)
    message += struct.pack("!BBHI", 5, 1, 0, 1400)
    message += struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 3600, 0, ip6("2001:db8:bad::"))
    message += struct.pack("!BBBBI8s", 24, 2, 48, 0, 1800, ip6("2001:db8:dead::")[:8])
    return ipv6(link_local(ifname), "ff02::1", 58, message, 2)


def main(words):
    vlan = None
    if words[0] == "--vlan":
        vlan, words = int(words[1]), words[2:]
    ifname, destination, kind, *rest = words
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((ifname, 0))
    mac = sender.getsockname()[4]
    if kind == "ra":
        packet = advertisement(ifname, mac)
    elif kind == "redirect6":
        source, target, to, me = rest
        message = struct.pack("!BBHI", 137, 0, 0, 0) + ip6(target) + ip6(to)
        cause = ipv6(me, to, 58, struct.pack("!BBHHH", 128, 0, 0, 1, 1), 2)
        message += struct.pack("!BBHI", 4, (8 + len(cause)) // 8, 0, 0) + cause
        packet = ipv6(source or link_local(ifname), me, 58, message, 2)
    elif kind == "redirect4":
        source, me, gateway, to = rest
        # An echo reply: the kernel takes no redirect of a request whose socket it does not find.
        cause = ipv4(me, to, 1, struct.pack("!BBHHH", 0, 0, 0, 1, 1))
        message = struct.pack("!BBH4s", 5, 1, 0, ip4(gateway)) + cause
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        packet = ipv4(source, me, 1, message)
    elif kind == "garp":
        address = ip4(rest[0])
        packet = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 2, mac, address, b"\xff" * 6, address)
    else:
        sys.exit(__doc__)
    protocol = 0x0806 if kind == "garp" else 0x86DD if packet[0] >> 4 == 6 else 0x0800
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    sender.send(bytes.fromhex(destination.replace(":", "")) + mac + tag + struct.pack("!H", protocol) + packet)


main(sys.argv[1:])
