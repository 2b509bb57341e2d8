"""From source to artifact."""
