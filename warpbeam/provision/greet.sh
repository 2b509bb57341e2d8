#!/bin/bash
# Says who runs it, and nothing more: that it answers says that a login runs what it is sent.

answer user "${USER-}"
