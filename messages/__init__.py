"""What the program says about a call: its settings, its first lines, and --help."""
