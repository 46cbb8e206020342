"""What a trained network is worth: baselines, thresholds, scores, pictures."""
