"""
number = 33
name = "Weights whose header claims 32 GiB"
roles = ["attack", "defense"]
stopped_by = ["rlimits", "referee"]
ends = "out_of_memory"
"""

import json
import struct

from hostile import players, scratch, through
from numpy.lib import format as npy


def attempt():
    path = scratch("huge.safetensors")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**33], "data_offsets": [0, 2**35]}})
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode())
    yield from through("safetensors", lambda: safetensors(path), Exception)
    path = scratch("huge.npy")
    with open(path, "wb") as file:
        claims = {"descr": "<f4", "fortran_order": False, "shape": (2**33,)}
        npy.write_array_header_1_0(file, claims)
    with open(path, "rb") as file:
        yield f"an array of {npy.read_array(file).nbytes} bytes"


def safetensors(path):
    from safetensors.numpy import load_file

    return load_file(path)["w"].nbytes


Attack, Defense = players(attempt)
