#!/bin/bash
# Takes an expression from standard input.

# take_expression: reads the rest of standard input, an expression, and makes it the new standard input. An endless one
# must neither fill a node nor be evaluated in part. A file without a name holds it: a variable of bash takes no NUL.
take_expression() {
  local file=/run/$app-rest-$$
  exec 5>"$file"
  exec 6<"$file"
  rm -f -- "$file"
  head -c "$((MOST + 1))" >&5
  (($(stat --dereference --format=%s -- /proc/self/fd/5) <= MOST)) ||
    die "expected an expression of at most $MOST bytes on standard input"
  exec < <(exec cat <&6) 5>&- 6<&-
}
