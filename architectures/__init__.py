"""Pairs of networks other than DCGAN's, which is in `model.py`."""
