"""An audit of the mathematics against references in float64, in NumPy, SciPy and PyTorch."""
