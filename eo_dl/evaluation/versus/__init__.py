"""Two maps or models on one ground: scores side by side, their differences, and where they differ."""
