"""Predictions made usable: cleaning, outlines, differences, zones. Arithmetic and files, no network."""
