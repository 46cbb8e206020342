"""Everything that is fixed before the first training step."""
