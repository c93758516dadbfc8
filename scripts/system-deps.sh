#!/usr/bin/env bash
# Installs what the tests need from the system, on Debian and Ubuntu, as root. The only place that uses apt:
# `make` never does. What is there already is left alone; with everything there, apt is not called at all.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }
have_any() { for name in "$@"; do have "$name" && return 0; done; return 1; }
have_postgres() { have postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; }
have_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

missing=()
have bwrap || missing+=(bubblewrap)
have_library libseccomp.so.2 || missing+=(libseccomp2)
have_any chromium chromium-browser google-chrome || missing+=(chromium)
have_postgres || missing+=(postgresql)
have_any redis-server valkey-server || missing+=(redis-server)
have nginx || missing+=(nginx) # the proxy's configuration is tried in it
have make || missing+=(make)

if [ ${#missing[@]} -eq 0 ]; then
  echo "System packages: all there."
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "System packages missing: ${missing[*]}. As root:  apt-get install --no-install-recommends ${missing[*]}"
  exit 0 # the tests say themselves what they lack
fi
if ! have apt-get; then
  echo "No apt-get here. Install by hand: ${missing[*]}" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
retry() { # a mirror may be busy
  local attempt
  for attempt in 1 2 3; do
    "$@" && return 0
    echo "Attempt $attempt failed: $*" >&2
    sleep $((attempt * 5))
  done
  return 1
}
# The packages' own services are not wanted: the tests start their own, on private sockets and ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
retry apt-get -o DPkg::Lock::Timeout=300 -qq update
# Optional: where the distribution has gVisor, its backend is tested too.
if ! have runsc && [ -n "$(apt-cache madison runsc 2>/dev/null)" ]; then missing+=(runsc); fi
retry apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq install -y --no-install-recommends "${missing[@]}"
