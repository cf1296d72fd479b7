#!/bin/sh
# Plays an extractor process for tests/extraction.rs: gets ready, then does for each request what the file `script` beside
# the link to this file says. It is linked, never copied: a program that was just written cannot be run while another
# thread of the test forks.
read -r hello
echo '"Ready"'
while read -r line; do
    . "${0%/*}/script"
done
