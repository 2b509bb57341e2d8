"""What is live: telling of it, talking to it, starting and stopping it, leading the public port to it."""
