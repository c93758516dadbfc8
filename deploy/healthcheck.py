"""Asks the web server of this container for a path, the way the proxy would.

usage: python deploy/healthcheck.py /readyz [PORT]
"""

import os
import sys
import urllib.error
import urllib.request


def main(path: str, port: str = "8000") -> int:
    host = os.environ.get("ADVERSARIUM_ALLOWED_HOSTS", "localhost").split(",")[0].lstrip(".*")
    headers = {"Host": host or "localhost", "X-Forwarded-Proto": "https"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=4) as reply:
            return 0 if reply.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
