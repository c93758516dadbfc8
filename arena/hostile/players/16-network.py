"""
number = 16
name = "TCP to services of the machine, UDP to the world"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import socket

from hostile import CANARY, players, through


def attempt():
    for port in (CANARY["port"], 5432, 6379, 8000):
        yield from through(
            f"TCP {port}", lambda p=port: socket.create_connection(("127.0.0.1", p), 1)
        )
    yield from through("UDP", datagram)
    yield from through("TCP over IPv6", lambda: socket.create_connection(("::1", 80), 1))
    yield from through("listening", lambda: socket.create_server(("127.0.0.1", 0)))
    yield from through("a name", lambda: socket.getaddrinfo("localhost", 80, proto=6)[0])


def datagram():
    for host, port in (("127.0.0.1", CANARY["udp"]), ("192.0.2.1", 53)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"arena-hostile", (host, port))


Attack, Defense = players(attempt)
