"""From artifact to the live release of every host, and back."""
