"""Steering of trained generators: paths, sweeps and directions of latents."""
