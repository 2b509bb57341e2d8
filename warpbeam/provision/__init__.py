"""What a host should have, what it has, and making it so."""
