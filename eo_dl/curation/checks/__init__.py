"""What may be wrong with labels: outlines, classes, positions, leakage between splits, doubts of a model."""
