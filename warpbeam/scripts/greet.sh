#!/bin/bash
# Does nothing: that it answers says that a login runs what it is sent.

answer
