#!/bin/bash
# Writes a file of a store to standard output as it is. Its exit status is 44 where there is no such store, 45 where the
# store has no such file.
#
# Parameters: directory (of the store; ~/ at its beginning is the home directory), subdirectory (the app's, below it),
# name (of the file).
: "${directory?}" "${subdirectory?}" "${name?}"

# shellcheck disable=SC2088 # the tilde came as text
[[ $directory != '~/'* ]] || directory=$HOME/${directory#'~/'}
[[ -d $directory ]] || exit 44
file=$directory/$subdirectory/$name
# Neither a link nor a pipe, which would keep the reader waiting.
[[ -f $file && ! -L $file ]] || exit 45
exec cat -- "$file"
