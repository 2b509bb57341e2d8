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

mark() { with_spare_space make "$releases/$1/.warpbeam/$2"; }
make() {
  # A mark must be a plain file: a link in its place would lead the write anywhere.
  if [[ -e $1 || -L $1 ]] && ! plain "$1"; then rm -rf -- "$1"; fi
  : >"$1"
}
unmark() { if marked "$1" "$2"; then rm -f -- "$releases/$1/.warpbeam/$2"; fi; }
