"""The tools of the comparison, one module each."""
