"""The first files of a deployable app: what its repository has, what it needs, and what is written there."""
