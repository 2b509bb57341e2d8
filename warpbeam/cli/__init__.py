"""The command line: the executor of `fab`, the session of its tasks, and the output on the screen."""
