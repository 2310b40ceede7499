"""The page to play with a trained generator: `--serve`."""
