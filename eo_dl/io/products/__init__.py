"""Scenes that are more than one file: several rasters on one ground, bands in files, products, masks."""
