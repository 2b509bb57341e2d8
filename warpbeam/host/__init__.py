"""One host: what is asked of it and what it answers, over ssh or on this machine."""
