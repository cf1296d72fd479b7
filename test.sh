#!/usr/bin/env bash
# Runs all tests. What they need and this machine lacks is installed first, where the machine is a Debian and lets us.
#
# usage: ./test.sh [ARGUMENTS FOR THE TEST RUNNER, for instance the name of a test]
#
# Tests that mount disks want root. Where this is root (and may mount), they run; elsewhere the runner reports each of
# them as ignored, by its name. With CI=true and root they must run: not being able to mount is a failure then.
set -euo pipefail
cd "$(dirname "$0")"

# Debian keeps mkfs and losetup where only root's PATH looks.
export PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "test.sh: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# command:package, for each tool that a test calls.
TOOLS=(
  mkfs.ext4:e2fsprogs
  mount:mount
  python3:python3
  systemd-analyze:systemd
)

install_missing() {
  local missing=() packages=() tool sudo=()
  for tool in "${TOOLS[@]}"; do
    have "${tool%%:*}" || { missing+=("${tool%%:*}"); packages+=("${tool##*:}"); }
  done
  if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
  if ! have apt-get; then
    say "missing: ${missing[*]}; install them, the tests that call them will fail"
    return 0
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! have sudo; then
      say "missing: ${missing[*]}; as root: apt-get install ${packages[*]}"
      return 0
    fi
    sudo=(sudo)
  fi
  say "installing ${packages[*]}"
  # apt's own words go to standard error, so that standard output is the tests'.
  # (The array is expanded this way for macOS' bash 3.2, where an empty one counts as unset.)
  ${sudo[@]+"${sudo[@]}"} apt-get update -qq </dev/null >&2 || say "apt-get update failed; trying with the lists there are"
  ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >&2
}

can_mount() {
  [ "$(id -u)" -eq 0 ] && have unshare && unshare --mount mount -t tmpfs tmpfs /mnt 2>/dev/null
}

mounts=no
case "$(uname -s)" in
  Linux)
    install_missing
    if [ "$(id -u)" -eq 0 ] && [ "${CI:-}" = true ]; then
      mounts=yes
      export SHELFLIST_TESTS_MUST_MOUNT=1
    elif can_mount; then
      mounts=yes
    else
      say "this user may not mount: tests that need a disk are reported as ignored"
    fi
    ;;
  *)
    have python3 || say "missing: python3 (xcode-select --install)"
    say "skipped here: tests of systemd units and of mounted disks, which are Linux'"
    ;;
esac

# The documentation's examples first, so that the runner's summary is the last word.
if [ "$#" -eq 0 ]; then
  cargo test --locked --features failpoints --doc
fi
if cargo nextest --version >/dev/null 2>&1; then
  ignored=()
  if [ "$mounts" = yes ]; then ignored=(--run-ignored all); fi
  exec cargo nextest run --locked --no-fail-fast --features failpoints ${ignored[@]+"${ignored[@]}"} "$@" </dev/null
fi
ignored=()
if [ "$mounts" = yes ]; then ignored=(--include-ignored); fi
exec cargo test --locked --features failpoints --no-fail-fast --lib --bins --tests -- ${ignored[@]+"${ignored[@]}"} "$@" </dev/null
