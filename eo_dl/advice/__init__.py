"""What a model says about labels: which chips to label next, which predictions to correct."""
