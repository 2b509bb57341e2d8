"""This project side by side with the tools that people deploy with today: see `bench/README.md`."""
