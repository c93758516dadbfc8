#!/usr/bin/env bash
# Runs a command with ADVERSARIUM_DATABASE_URL naming a fresh PostgreSQL cluster that ends with it.
# usage: scripts/with-postgres.sh COMMAND...
# A server given in ADVERSARIUM_TEST_POSTGRES_URL is used instead. Without any PostgreSQL the command is
# not run: a note by default, a failure when CI=true.
set -euo pipefail

if [ -n "${ADVERSARIUM_TEST_POSTGRES_URL:-}" ]; then
  export ADVERSARIUM_DATABASE_URL="$ADVERSARIUM_TEST_POSTGRES_URL"
  exec "$@"
fi

bin=""
for candidate in "$(dirname "$(command -v initdb || echo /none/initdb)")" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
  if [ -x "$candidate/initdb" ] && [ -x "$candidate/postgres" ]; then bin=$candidate && break; fi
done
if [ -z "$bin" ]; then
  echo "Skipped on PostgreSQL: needs its server (Debian: postgresql) or ADVERSARIUM_TEST_POSTGRES_URL." >&2
  [ "${CI:-}" != true ]
  exit
fi

as_owner=() # the server refuses to run as root
if [ "$(id -u)" -eq 0 ]; then
  user=postgres && id "$user" >/dev/null 2>&1 || user=nobody
  as_owner=(setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --clear-groups --)
  home=$(mktemp -d /tmp/adversarium-pg.XXXXXX) # a root's TMPDIR may be closed to others
  chown "$(id -u "$user"):$(id -g "$user")" "$home"
else
  home=$(mktemp -d "${TMPDIR:-/tmp}/adversarium-pg.XXXXXX")
fi

server=""
finish() {
  status=$?
  trap - EXIT
  if [ -n "$server" ]; then kill -QUIT "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
  rm -rf "$home"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
in_home() { (cd "$home" && exec "${as_owner[@]}" "$@"); } # the checkout may be closed to that user
in_home sh -c 'umask 077 && cat >password' <<<"$password"
in_home "$bin/initdb" -D "$home/cluster" -U arena -A scram-sha-256 --pwfile="$home/password" \
  -E UTF8 --no-locale --no-sync >"$home/log" 2>&1 || { cat "$home/log" >&2; exit 1; }

start() { # start PORT: nothing here outlives the tests, so nothing is flushed to disk
  (cd "$home" && exec "${as_owner[@]}" "$bin/postgres" -D "$home/cluster" -p "$1" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c fsync=off -c synchronous_commit=off -c full_page_writes=off) >"$home/log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    grep -q 'ready to accept connections' "$home/log" && return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  return 1
}
for _ in 1 2 3; do
  port=$((20000 + RANDOM % 12000)) # below the ephemeral range; when it is taken, another
  if start "$port"; then break; fi
  server=""
done
if [ -z "$server" ]; then cat "$home/log" >&2; exit 1; fi

export ADVERSARIUM_DATABASE_URL="postgres://arena:$password@127.0.0.1:$port/postgres"
"$@"
