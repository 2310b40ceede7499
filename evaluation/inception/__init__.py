"""The network of published FIDs: TensorFlow's Inception-v3 of 2015-12-05, and its weights."""
