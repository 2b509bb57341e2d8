"""The command line: what `fab` runs, what a task gets, and how things look on the screen."""
