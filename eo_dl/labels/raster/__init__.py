"""Labels from rasters of class ids, colours or probabilities."""
