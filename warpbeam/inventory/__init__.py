"""Reading an inventory: YAML, types, and every message for an inventory that is wrong."""
