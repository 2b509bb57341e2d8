"""ssh: configuration, host keys, authentication, connections, and commands over them."""
