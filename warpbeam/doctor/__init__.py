"""Doctor: what is looked at on hosts, what is found, and what mends it."""
