"""
number = 26
name = "Devices: memory, disks, KVM, FUSE, terminals; nodes of its own"
roles = ["attack", "defense"]
stopped_by = ["mounts", "seccomp", "namespaces"]
ends = "scored"
"""

import os
import stat

from hostile import players, scratch, through

NAMES = (
    *("mem", "kmem", "port", "kmsg", "vda", "sda", "nvme0n1", "loop0", "loop-control", "dm-0"),
    *("kvm", "fuse", "vsock", "vhost-vsock", "net/tun", "tty", "tty0", "ptmx", "pts/ptmx"),
    *("console", "shm", "mqueue", "hugepages", "userfaultfd", "rtc0", "input", "snd", "dri"),
    *("nvidia0", "nvidiactl", "nvidia-uvm", "cpu_dma_latency", "hpet", "log", "autofs", "uinput"),
)


def attempt():
    for name in NAMES:
        yield from through(name, lambda name=name: os.open(f"/dev/{name}", os.O_RDONLY | 0o4000))
    for kind, number in ((stat.S_IFCHR, os.makedev(1, 1)), (stat.S_IFBLK, os.makedev(254, 0))):
        path = scratch("arena-hostile-node")
        yield from through("mknod", lambda k=kind, n=number, p=path: os.mknod(p, k | 0o666, n))
    yield from through("fifo", lambda: os.mkfifo(scratch("arena-hostile-fifo")))


Attack, Defense = players(attempt)
