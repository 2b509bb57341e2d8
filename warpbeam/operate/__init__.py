"""Operations on the live instance: status, console, logs, stop and start, maintenance, reboots."""
