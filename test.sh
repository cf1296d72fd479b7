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
  npm:npm
  openssl:openssl
  ssh:openssh-client
  systemd-analyze:systemd
)
# The same for kinds of disk beside ext4. Without one its tests are ignored, by name; in CI they fail.
FILE_SYSTEMS=(
  mkfs.xfs:xfsprogs
  mkfs.btrfs:btrfs-progs
  mkfs.exfat:exfatprogs
  mount.exfat-fuse:exfat-fuse
  ntfs-3g:ntfs-3g
  mksquashfs:squashfs-tools
  mkfs.erofs:erofs-utils
)

install_missing() {
  local missing=() packages=() tool sudo=()
  for tool in "${TOOLS[@]}" "${FILE_SYSTEMS[@]}"; do
    have "${tool%%:*}" || { missing+=("${tool%%:*}"); packages+=("${tool##*:}"); }
  done
  if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
  if ! have apt-get; then
    say "missing: ${missing[*]}; install them, the tests that call them fail or are ignored"
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
    apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >&2 ||
    say "could not install all of: ${packages[*]}"
}

lacks_file_systems() {
  local tool
  for tool in "${FILE_SYSTEMS[@]}"; do
    have "${tool%%:*}" || return 0
  done
  return 1
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

# Servers that stores are tested against. OpenSSH's own is no command that a PATH finds.
if [ "$(uname -s)" = Linux ] && ! ls /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server /usr/libexec/sftp-server >/dev/null 2>&1; then
  if [ "$(id -u)" -eq 0 ] && have apt-get; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssh-sftp-server </dev/null >&2
  else
    say "missing: OpenSSH's sftp-server; as root: apt-get install openssh-sftp-server"
  fi
fi
tests/peers/install.sh

# Running what is ignored would turn a kind of disk that this machine does not have into a failure, so the one test file that
# ignores its mounts when it is compiled is then run for itself.
run_ignored=$mounts
if [ "$mounts" = yes ] && [ -z "${SHELFLIST_TESTS_MUST_MOUNT:-}" ] && lacks_file_systems; then
  run_ignored=no
  cargo test --locked --features failpoints --test store_contract -- --ignored </dev/null
fi

# The documentation's examples first, so that the runner's summary is the last word.
if [ "$#" -eq 0 ]; then
  cargo test --locked --features failpoints --doc
fi
if cargo nextest --version >/dev/null 2>&1; then
  ignored=()
  if [ "$run_ignored" = yes ]; then ignored=(--run-ignored all); fi
  # Half of the tests wait for a server or a process for half of their time.
  cpus=$(getconf _NPROCESSORS_ONLN)
  exec cargo nextest run --locked --no-fail-fast --features failpoints --test-threads $((cpus + (cpus + 1) / 2)) ${ignored[@]+"${ignored[@]}"} "$@" </dev/null
fi
ignored=()
if [ "$run_ignored" = yes ]; then ignored=(--include-ignored); fi
exec cargo test --locked --features failpoints --no-fail-fast --lib --bins --tests -- ${ignored[@]+"${ignored[@]}"} "$@" </dev/null
