"""Other tools that know the same hosts, or deploy to them, in their own formats."""
