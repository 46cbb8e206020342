"""A labelling project: a GeoPackage to draw labels in, and what is drawn in it."""
