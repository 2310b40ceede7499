"""Progressive growing (PGGAN, 1710.10196)."""
