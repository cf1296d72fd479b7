#!/usr/bin/env bash
# All figures of docs/performance.md on one machine, one after the other: 100,000 and 1,000,000 small files, 4 GB in 2,000
# files, and how the cost grows from 10,000 files on. Takes an hour or two and 15 GB.
#
# usage: benches/table.sh [--runs N] [--work DIR]
#
# The work directory is kept if it is named, with its trees, for the next time. See compare.sh for the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runs=5 work=''
while [ "$#" -gt 0 ]; do
  case "$1" in
    --runs) runs=${2:?} ; shift 2 ;;
    --work) work=${2:?} ; shift 2 ;;
    *) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "$0" >&2; exit 2 ;;
  esac
done
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
compare() { "$here/compare.sh" --work "$work" --runs "$runs" "$@"; echo; }

echo "## 100,000 files, 0.85 GB"
compare --files 100000 --install
echo "## 4.0 GB in 2,000 files"
compare --files 2000 --median 1000000 --max 60000000 --fanout 25 --only first
echo "## 1,000,000 files"
compare --files 1000000 --median 200 --sigma 0.8 --only rescan,status,first
echo "## 10,000 files, as those"
compare --files 10000 --median 200 --sigma 0.8 --only rescan,first
echo "## 100,000 files, as those"
compare --files 100000 --median 200 --sigma 0.8 --only rescan,first
