#!/bin/bash
# Writes an artifact's tarball to standard output as it is, then removes it: the caller keeps it.
#
# Parameters: tarball (its path).
: "${tarball?}"

cat -- "$tarball" && rm -f -- "$tarball"
