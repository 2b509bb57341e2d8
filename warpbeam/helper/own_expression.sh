#!/bin/bash
# With admission, an expression of the deploy user's runs only if it is the inventory's, as setup wrote it.

# check_expression TEXT: refuses an expression for the verb `migrate` or `well` that root's file does not have.
check_expression() {
  local file=$ETC/expression-$verb text=''
  [[ $ADMISSION == yes ]] || return 0
  if [[ -f $file ]]; then IFS= read -r -d '' text <"$file" || true; fi
  [[ -n $text && $1 == "$text" ]] ||
    die "the expression is not that of the inventory at the last setup (\`fab $ENVIRONMENT setup\` renews it)"
}
