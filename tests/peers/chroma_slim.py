"""Chroma's own server without the hundred packages of its Python client: `chroma run` is one library."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)
import chromadb_rust_bindings  # noqa: E402

chromadb_rust_bindings.cli(["chroma", "run", *sys.argv[1:]])
