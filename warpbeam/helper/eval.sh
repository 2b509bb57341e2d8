#!/bin/bash
# The verbs `eval` and `migrate`: evaluate an expression from the live release, or from a named one.

verb_eval() {
  find_live_release
  alone "$release"
}

verb_migrate() {
  input 'a release'
  is_release "$REPLY" || die 'expected a release such as 20261123T120000Z on standard input'
  alone "$REPLY"
}
