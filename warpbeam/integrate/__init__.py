"""Other tools that know the same hosts."""
