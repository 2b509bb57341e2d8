"""ssh: configuration, host keys, authentication, connections and what runs over them."""
