"""The nouns of Warpbeam: one module a noun, importable without Invoke's command line."""
