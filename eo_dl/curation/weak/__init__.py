"""Weak labels: rules of thumb that vote on every pixel, put together into class probabilities."""
