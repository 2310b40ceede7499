"""Networks other than DCGAN's, which are in `model.py`."""
