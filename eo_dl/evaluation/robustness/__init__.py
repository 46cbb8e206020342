"""How a model stands what scenes do to it: alterations of a scene, and what they cost (`stress`)."""
