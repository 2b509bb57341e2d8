#!/bin/bash
# The verb `rpc`: evaluates an expression on the running node.

verb_rpc() {
  live_process
  take_expression
  beside --pipe rpc "$READ_AND_EVALUATE"
}
