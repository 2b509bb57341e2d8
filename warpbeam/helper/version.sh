#!/bin/bash
# The verb `version`.

verb_version() { printf '%s\n' "$VERSION"; }
