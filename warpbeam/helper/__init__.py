"""The privileged helper: the one program that the deploy user may run as root."""
