#!/usr/bin/env bash
# Puts torch 2.13.0 into a virtual environment, the CPU build where one can be had.
# The public package index has only the build that drags in CUDA (gigabytes), so it comes last, and says so.
# usage: scripts/install-torch.sh [VENV]
set -euo pipefail
cd "$(dirname "$0")/.."
python="${1:-.venv}/bin/python"
version=2.13.0
cpu_index=https://download.pytorch.org/whl/cpu
log=$(mktemp)
trap 'rm -f "$log"' EXIT

installed() { "$python" scripts/check-torch.py --quiet; }
try() { # try WHAT PIP-ARGUMENTS...: quiet when it fails, for the next way is tried
  echo "torch $version: trying $1" && shift
  "$python" -m pip install --disable-pip-version-check -q -c constraints.txt "$@" >"$log" 2>&1 && installed
}
local_cpu_build() { # is the torch pip would take from its configured sources without PyPI a CPU build?
  "$python" -m pip download --disable-pip-version-check -q --no-deps --no-index -d "$1" "torch==$version" >"$log" 2>&1 &&
    ls "$1"/torch-"$version"*cpu*.whl >/dev/null 2>&1
}

if installed; then exit 0; fi
try "the CPU build, as pip is configured" "torch==$version+cpu" && exit 0

found=$(mktemp -d)
trap 'rm -rf "$log" "$found"' EXIT
if local_cpu_build "$found"; then
  try "the CPU build found in pip's own links" "torch==$version" && exit 0
fi
if [ "$(uname -s)" = Darwin ]; then
  try "the public index (its macOS build is small)" "torch==$version" && exit 0
fi
try "PyTorch's CPU index" --index-url "$cpu_index" --extra-index-url https://pypi.org/simple "torch==$version+cpu" && exit 0

cat <<NOTE
No CPU build of torch $version can be had here. Taking the one of the public index:
it brings CUDA libraries along, about 3 GB to download and 7 GB on disk. Ctrl-C stops this.
NOTE
sleep "${ADVERSARIUM_TORCH_PAUSE:-5}"
if ! "$python" -m pip install --disable-pip-version-check -c constraints.txt "torch==$version" || ! installed; then
  echo "torch $version could not be installed. Give pip a way to it (an index or --find-links) and run this again." >&2
  exit 1
fi
