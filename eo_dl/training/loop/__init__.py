"""The training run itself: steps, epochs, the end."""
