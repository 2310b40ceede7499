"""This project's layers, and their conversion to stock Keras layers for saving."""
