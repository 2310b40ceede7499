"""Layers of our own, and the stock Keras layers that they are saved as."""
