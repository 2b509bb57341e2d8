#!/bin/bash
# Distillery hands the cookie to a VM of this command as an argument: Warpbeam must not come here.
fail "the cookie is $COOKIE, for every user to read"
