"""Reading an inventory: YAML, types, and every message for what cannot be."""
