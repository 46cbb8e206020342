"""One run: steps, epochs, checkpoints, the model."""
