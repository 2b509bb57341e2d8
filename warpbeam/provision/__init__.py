"""Setup, doctor and secrets: what a host should have, what it has, and the change from one to the other."""
