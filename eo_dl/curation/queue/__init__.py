"""What to label next: chips ranked by how unsure a model is of them and by how unlike each other they are."""
