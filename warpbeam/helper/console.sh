#!/bin/bash
# The verb `console`.

verb_console() {
  # Without a terminal IEx evaluates in another node than the requested one (OTP 25), or takes that node down (OTP 27).
  [[ -t 0 ]] || die 'the console needs a terminal; rpc takes an expression on standard input'
  live_process
  beside --pty remote
}
