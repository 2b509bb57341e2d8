"""Ports, firewalls and Erlang nodes: who can reach the app, and where its public ports lead."""
