#!/bin/bash
# The verbs `eval` and `migrate`: evaluate an expression from the live release, or from a named one.

verb_eval() {
  find_live_release
  alone "$release"
}

verb_migrate() {
  input_release
  alone "$release"
}
