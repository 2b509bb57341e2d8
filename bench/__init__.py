"""A comparison of this project with the tools that people deploy with today: see `bench/README.md`."""
