"""Programs that measure: each prints a table. Run one as `python -m benchmarks.NAME`."""
