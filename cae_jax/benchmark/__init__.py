"""Measures what users care about, on their own workdir: how fast and how well the search answers."""
