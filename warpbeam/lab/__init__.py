"""Throwaway real hosts on this machine: Debian with systemd, in systemd-nspawn, on a bridge of their own.

`lifetime` has the operations for callers: `up`, `down`, `status`, `boot`, `crash`, `power_loss`. docs/lab.md explains
labs to users.
"""
