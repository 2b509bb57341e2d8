"""Warpbeam's nouns: one module a noun, importable without Invoke's command line."""
