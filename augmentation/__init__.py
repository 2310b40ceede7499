"""Random changes of the images that a critic sees, for training sets of few images."""
