#!/usr/bin/env python3
"""Gives every file of a list (names closed by NUL) other bytes of the same length.

usage: change.py LIST
"""
import os
import sys

for name in open(sys.argv[1], "rb").read().split(b"\0")[:-1]:
    with open(name, "r+b") as file:
        file.write(os.urandom(min(16, os.fstat(file.fileno()).st_size)))
