"""What is on disk of a run, and what it returns."""
