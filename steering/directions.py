"""Directions in which latents change the images most, in closed form (SeFa, 2007.06600).

Imports no TensorFlow.
"""

import numpy as np

import console

INPUT_AXIS = {"Dense": 0, "Conv2DTranspose": 3}  # of the kernel, by the class of the first layer


def first_weights(network):
    """Return the weights by which the first layer of a generator multiplies the latents.

    Args:
      network: Keras model of latents [N, Z], or of latents and one-hot labels [N, K]. Between its
        inputs and its first layer with weights, latents and labels may be concatenated and scaled.

    Returns:
      float64 [Z, F], F being the number of values that the layer makes of a latent.

    Raises:
      Failed: if the first layer with weights is not a dense layer or a transposed convolution of
        the latents and labels.
    """
    z_dim, *classes = (x.shape[-1] for x in network.inputs)
    layer = next((layer for layer in network.layers if layer.weights), None)
    axis = INPUT_AXIS.get(type(layer).__name__)
    if axis is not None:
        kernel = np.moveaxis(np.asarray(layer.kernel, float), axis, 0)
        if len(kernel) == z_dim + sum(classes):
            return kernel.reshape(len(kernel), -1)[:z_dim]
    found = f"begins with the layer {layer.name}" if layer else "has no weights"
    raise console.Failed(
        f"no directions: they need a generator whose first layer takes the latents, and this one "
        f"{found}"
    )


def find_directions(weights):
    """Return the unit vectors n for which |n W| is largest, each orthogonal to those before it.

    They are the eigenvectors of W W^T (SeFa, eq. 8; its A is the transpose of W).

    Args:
      weights: W, float [Z, F].

    Returns:
      directions: float32 [Z, Z], a direction in each row, by falling eigenvalue. The entry of the
        largest magnitude is positive, so that calls agree on the sign.
      eigenvalues: float64 [Z], the squares |n W|^2.
    """
    values, vectors = np.linalg.eigh(weights @ weights.T)
    rows = vectors.T[::-1]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)
    return (rows * np.sign(largest)).astype(np.float32), np.maximum(values[::-1], 0)


def move(z, shift, bound=None):
    """Return latents [N, Z], moved by `shift` and kept within the range of the training's latents.

    Args:
      z: latents [N, Z].
      shift: vector [Z] to add.
      bound: largest magnitude of a latent in training, or None for latents of any size. A value of
        `z` beyond it stays at most as far out as it is.
    """
    moved = z + shift
    if bound is None:
        return moved
    return np.clip(moved, np.minimum(z, -bound), np.maximum(z, bound))
