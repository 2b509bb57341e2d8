#!/bin/bash
# The verbs `drain` and `undrain`.

# The app drains its connections while this file exists. A stopped slot's directory is removed, and the file with it.
verb_drain() {
  input_slot
  [[ -d /run/$app-$slot ]] || return 0
  as_app touch -- "/run/$app-$slot/drain"
}

verb_undrain() {
  input_slot
  as_app rm -f -- "/run/$app-$slot/drain"
}
