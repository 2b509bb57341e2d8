#!/bin/bash
# Enters the directory of a store on its host.
#
# Parameters: directory (of the store; ~/ at its beginning is the home directory), subdirectory (the app's, below it).
: "${directory?}" "${subdirectory?}"

# enter_store: changes to the directory of the store. It is never made here: it may be a disk that is not mounted.
enter_store() {
  # shellcheck disable=SC2088 # the tilde came as text
  [[ $directory != '~/'* ]] || directory=$HOME/${directory#'~/'}
  [[ -d $directory && -x $directory ]] ||
    refuse "$directory is not there, or not to be entered by $(id -un)" 'make it, or mount it'
  cd -- "$directory"
}
