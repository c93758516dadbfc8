#!/usr/bin/env bash
# Writes the secrets that docker-compose.yml reads, each in a file of deploy/secrets/. What is there stays as it is.
# The files may be read by all, for the containers' users are not yours; the directory lets nobody else in.
set -euo pipefail
cd "$(dirname "$0")/../deploy/secrets"
chmod 700 .

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # keep NAME VALUE
  if [ -e "$1" ]; then return; fi
  printf '%s' "$2" >"$1"
  chmod 444 "$1"
  echo "deploy/secrets/$1"
}

keep secret_key "$(random)$(random)"
keep postgres_password "$(random)"
keep redis_password "$(random)"
keep database_url "postgres://arena:$(cat postgres_password)@postgres:5432/arena"
keep redis_url "redis://:$(cat redis_password)@redis:6379/0"
