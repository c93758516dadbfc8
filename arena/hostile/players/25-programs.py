"""
number = 25
name = "Starting programs: the interpreter, set-uid ones, a script, a loader"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "mounts"]
ends = "scored"
"""

import glob
import os

from hostile import players, scratch, syscall, through

SHOUTS = "import os; os.write(2, b'THROUGH: another program\\n')"
SET_UID = ("/bin/su", "/usr/bin/su", "/usr/bin/sudo", "/usr/bin/passwd", "/usr/bin/mount")


def attempt():
    python = "/python/bin/python3"
    script = scratch("arena-hostile-script")
    with open(script, "w") as file:
        file.write(f"#!{python}\n{SHOUTS}\n")
    os.chmod(script, 0o4755)
    yield from through("interpreter", lambda: os.execv(python, ["python3", "-c", SHOUTS]))
    yield from through("script", lambda: os.execv(script, ["script"]))
    for path in SET_UID:
        yield from through(path, lambda path=path: os.execv(path, ["su", "-c", "id"]))
    for loader in glob.glob("/lib*/ld-linux*.so*"):
        given = ["ld.so", python, "-c", SHOUTS]
        yield from through(loader, lambda loader=loader, given=given: os.execv(loader, given))
    yield from through("by descriptor", lambda: os.execve(os.open(script, 0), ["s"], {}))
    yield from through("execveat", lambda: syscall("execveat", -100, b"/python/bin/python3\0", 0))
    os.unlink(script)


Attack, Defense = players(attempt)
