#!/bin/bash
# The app's own last lines, which the message of a failed activation shows.
#
# Parameters: helper.
: "${helper?}"

# read_app_logs SLOT EPOCH: the last lines of the slot's unit since EPOCH, in `app_lines`, with the two lines that
# systemd writes about each start.
read_app_logs() {
  mapfile -t app_lines < <(printf '%s\n' 40 "@$2" '' "$1" '' | print_app_logs)
}
print_app_logs() { sudo -n -- "$helper" logs | tail -n 25; }
