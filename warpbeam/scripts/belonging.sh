#!/bin/bash
# Which environment an app on this host belongs to: what its setup wrote down; empty where none has. Read as root, before setup.
#
# Parameters: file.
: "${file?}"

environment=''
if [[ -r $file ]]; then environment=$(<"$file"); fi
answer environment "$environment"
