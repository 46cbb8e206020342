"""Labels from vector layers."""
