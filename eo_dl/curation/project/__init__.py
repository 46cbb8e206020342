"""A labelling project: a GeoPackage to draw labels in, its status, pre-labels to correct, corrections
merged.
"""
