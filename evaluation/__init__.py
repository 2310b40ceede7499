"""How good a generator is: extractors, measures, comparisons."""
