"""FastGAN's networks, and the reconstruction that its critic is trained with."""
