"""Translation between two domains of images (CycleGAN, 1703.10593)."""
