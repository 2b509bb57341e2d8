#!/bin/bash
# Reads back how an activation ended whose connection was lost; waits for its end.
#
# Parameters: root (the app's directory), app (its name), job_id (of the activation), patience (seconds to wait).
: "${root?}" "${app?}" "${job_id?}" "${patience?}"

step follow
uptime_seconds
began=$REPLY
while activating; do
  since "$began"
  ((REPLY < patience)) || refuse "the activation has not ended within $patience s" '`fab ENV status` shows how it ends'
  sleep 0.2
done
if result_of "$job_id"; then
  record_result
else
  refuse 'the activation left no result: it never began, or the host was restarted' '`fab ENV status` shows what runs'
fi
