"""Formats of annotations: one file each, reading and writing."""
