"""The kinds of releases: what each is asked for, its variables, and its layout after a build."""
