"""
number = 18
name = "Sockets that no network namespace holds: vsock, AF_ALG, netlink, packet"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import socket

from hostile import players, through

UNIX, INET, NETLINK, PACKET, BLUETOOTH, ALG, VSOCK, XDP = 1, 2, 16, 17, 31, 38, 40, 44


def attempt():
    for family in (NETLINK, PACKET, BLUETOOTH, ALG, VSOCK, XDP, *range(3, 16)):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            yield from through(
                f"family {family} kind {kind}", lambda f=family, k=kind: socket.socket(f, k)
            )


Attack, Defense = players(attempt)
