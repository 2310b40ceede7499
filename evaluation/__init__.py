"""Measures of generators: feature extractors, formulas, evaluation, comparison of runs."""
