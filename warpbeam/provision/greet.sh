#!/bin/bash
# Answers with the user's name. The answer itself proves that the login runs a script that is sent to it.

answer user "${USER-}"
