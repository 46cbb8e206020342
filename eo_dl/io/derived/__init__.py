"""Bands made from other bands on reading: indices, terrain, texture."""
