#!/bin/bash
# Writes that succeed on a full disk. activate.sh reserves bytes and inodes in activation/spare (`spare` here: the job
# runs in activation/), which the job frees when a write fails.

# with_spare_space COMMAND ...: runs COMMAND; where it fails (the disk may be full by now), frees the spare space, and
# runs it again.
with_spare_space() {
  "$@" 2>/dev/null || {
    rm -rf -- spare
    "$@"
  }
}

mark() { with_spare_space add_mark "$1" "$2"; }
unmark() { remove_mark "$1" "$2"; }
