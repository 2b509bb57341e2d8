"""Throwaway real hosts on this machine: Debian with systemd, in systemd-nspawn, on a bridge of their own.

`lifetime` has what a caller wants: `up`, `down`, `status`, `boot`, `crash`, `power_loss`. docs/lab.md
tells it to a person.
"""
