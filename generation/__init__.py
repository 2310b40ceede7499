"""Trained generators: pictures, translations, exports, the list of runs, and `load` for Python."""

from console import Failed
from generation.interface import Generator, Translator, load

__all__ = ["Failed", "Generator", "Translator", "load"]
