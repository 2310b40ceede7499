"""Programs that measure speed, quality and robustness. Run one as `python -m benchmarks.NAME`."""
