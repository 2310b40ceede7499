"""Command line → `Config`: fields, tables, presets, and the order in which they override."""
