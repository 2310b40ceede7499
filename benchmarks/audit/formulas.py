"""Losses, penalties and optimisers as the papers have them, in float64.

Losses take PyTorch tensors of scores, and return one value for each score. Penalties take the norm
of the gradient. Optimisers take NumPy arrays.
"""

import numpy as np
import torch


def _sigmoid(x):
    return 1 / (1 + torch.exp(-x))


# mode → (loss of the critic, loss of the generator), of real and fake scores
WGAN = (lambda real, fake: fake - real, lambda real, fake: -fake)
GAN = (
    lambda real, fake: -torch.log(_sigmoid(real)) - torch.log(1 - _sigmoid(fake)),
    lambda real, fake: -torch.log(_sigmoid(fake)),
)
LOSSES = {
    "gp": WGAN,
    "regular": WGAN,
    "div": WGAN,
    "gan": GAN,
    "r1": GAN,
    "dragan": GAN,
    "lsgan": (
        lambda real, fake: ((real - 1) ** 2 + fake**2) / 2,
        lambda real, fake: (fake - 1) ** 2,
    ),
    "hinge": (
        lambda real, fake: (1 - real).clamp(min=0) + (1 + fake).clamp(min=0),
        lambda real, fake: -fake,
    ),
    "rpgan": (
        lambda real, fake: -torch.log(_sigmoid(real - fake)),
        lambda real, fake: -torch.log(_sigmoid(fake - real)),
    ),
}
# name of a penalty → its points and its formulas of (gradient norm, weights)
PENALTIES = {
    "none": [],
    "gp": [("between", lambda g, c: c.LAMBDA * (g - 1) ** 2)],
    "div": [("between", lambda g, c: c.div_k * g**c.div_p)],
    "r1": [("real", lambda g, c: c.LAMBDA / 2 * g**2)],
    "r2": [("fake", lambda g, c: c.LAMBDA / 2 * g**2)],
    "r1r2": [
        ("real", lambda g, c: c.LAMBDA / 2 * g**2),
        ("fake", lambda g, c: c.LAMBDA / 2 * g**2),
    ],
    "dragan": [("near", lambda g, c: c.LAMBDA * (g - 1) ** 2)],
}


def points(where, real, fake, mix, noise):
    """Return the images at which a penalty takes the gradient."""
    return {
        "real": lambda: real,
        "fake": lambda: fake,
        "between": lambda: mix * real + (1 - mix) * fake,
        "near": lambda: real + mix * 0.5 * real.std(unbiased=False) * noise,
    }[where]()


def adam(weight, gradients, *, rate, beta1, beta2, epsilon):
    """Algorithm 1 of 1412.6980, with the order of section 2's end, which TensorFlow has."""
    m = v = np.zeros_like(weight)
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        step = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        weight = weight - step * m / (np.sqrt(v) + epsilon)
    return weight


def rmsprop(weight, gradients, *, rate, rho, epsilon, momentum):
    """Hinton's lecture 6e, with ε inside the root."""
    v = moved = np.zeros_like(weight)
    for g in gradients:
        v = rho * v + (1 - rho) * g * g
        moved = momentum * moved + rate * g / np.sqrt(v + epsilon)
        weight = weight - moved
    return weight


def sgd(weight, gradients, *, rate, momentum):
    """Gradient descent with momentum."""
    moved = np.zeros_like(weight)
    for g in gradients:
        moved = momentum * moved - rate * g
        weight = weight + moved
    return weight
