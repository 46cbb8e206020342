"""Accuracy by design: a probability sample of a map (`sample`), and what its answers say (`assess`)."""
