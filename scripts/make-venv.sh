#!/usr/bin/env bash
# Makes .venv with the first Python from 3.11 to 3.14 that can: by venv, else virtualenv, else uv.
# usage: scripts/make-venv.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${1:-.venv}"

fits() { # a shim may be on PATH and still refuse to run
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}
complete() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }
made_by() { echo "Made $venv with $1."; exit 0; }

if complete && fits "$venv/bin/python"; then exit 0; fi
if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
  echo "$venv is in the way: it is no virtual environment. Move it away." >&2
  exit 1
fi
rm -rf "$venv"

for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14; do
  fits "$candidate" || continue
  if "$candidate" -m venv "$venv" >/dev/null 2>&1 && complete; then made_by "$candidate -m venv"; fi
  rm -rf "$venv" # Debian's python3 without python3-venv leaves half of one
  if "$candidate" -m virtualenv -q "$venv" >/dev/null 2>&1 && complete; then made_by "$candidate -m virtualenv"; fi
  rm -rf "$venv"
  if command -v virtualenv >/dev/null && virtualenv -q -p "$candidate" "$venv" >/dev/null 2>&1 && complete; then
    made_by "virtualenv -p $candidate"
  fi
  rm -rf "$venv"
done
if command -v uv >/dev/null && uv venv -q --seed --python '>=3.11,<3.15' "$venv" && complete; then made_by "uv"; fi
rm -rf "$venv"

echo "A Python from 3.11 to 3.14 with its venv module is needed:  sudo apt install python3 python3-venv" >&2
exit 1
