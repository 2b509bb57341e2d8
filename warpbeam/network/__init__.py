"""Ports, firewalls and nodes: who reaches the app, and where it leads."""
