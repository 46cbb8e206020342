"""What to label next: chips ranked by the model's uncertainty and by how different they are from one
another.
"""
