#!/usr/bin/env bash
# The main job, end to end, on the documents under fixtures/library: catalogue them, read their text, mirror them into a
# directory. Everything it makes is under target/try and in fixtures/library/.shelflist (the library's marker).
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --locked
export SHELFLIST_HOME=$PWD/target/try/home
rm -rf target/try
mkdir -p target/try

run() {
  printf '\n$ shelflist %s\n' "$*"
  target/release/shelflist "$@"
}
run init fixtures/library --name reading-room
run store add dir:target/try/mirror
run sync
run status
run find drawer
run sync
