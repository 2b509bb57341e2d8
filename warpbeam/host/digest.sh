#!/bin/bash
# The digest of a release: one number for its files, links and kind. `digests` in build/digest.py computes the same.

# digest_of DIRECTORY: put the digest of `manifest`, `links` and `runtime` in DIRECTORY in REPLY. It is that of their
# three sums, so that no line of one can be moved to another.
digest_of() {
  REPLY=$(cd -- "$1" && { sha256sum -- manifest links runtime 2>/dev/null || true; } | sha256sum)
  REPLY=${REPLY%% *}
}
