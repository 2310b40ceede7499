"""Losses and penalties. Scores are [B], a higher score meaning more real.

Every function returns one value for each sample, [B]; the trainer averages over the global
batch. Sources: GAN 1406.2661, WGAN 1701.07875, WGAN-GP 1704.00028, WGAN-div 1712.01026.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

softplus = tf.math.softplus  # softplus(-s) = -log sigmoid(s): stable for any score


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a mode minimises.

    Attributes:
      critic_loss: (real scores, fake scores) → [B].
      generator_loss: fake scores → [B].
      penalty: (critic, real, fake, mix, **weights) → ([B], gradient norms [B]), or None.
      weights: the penalty's keywords.
      clip: bounds that the critic's weights are held in after its update, or None.
      gap: what mean(real scores) - mean(fake scores) is called.
    """

    critic_loss: Callable
    generator_loss: Callable
    penalty: Callable | None = None
    weights: dict = dataclasses.field(default_factory=dict)
    clip: tuple[float, float] | None = None
    gap: str = "gap"


def wasserstein_critic(real, fake):
    """D(G(z)) - D(x) (WGAN, eq. 3): its negative estimates the Wasserstein distance."""
    return fake - real


def wasserstein_generator(fake):
    """-D(G(z)) (WGAN, algorithm 1)."""
    return -fake


def logistic_critic(real, fake):
    """-log σ(D(x)) - log(1 - σ(D(G(z)))) from logits (GAN, algorithm 1)."""
    return softplus(-real) + softplus(fake)


def logistic_generator(fake):
    """-log σ(D(G(z))), the non-saturating form (GAN, section 3)."""
    return softplus(-fake)


def interpolate(real, fake, mix):
    """mix·real + (1 - mix)·fake: images [B, H, W, C], one `mix` in [0, 1) a sample [B, 1, 1, 1]."""
    return mix * real + (1 - mix) * fake


def squared_gradient(critic, images):
    """‖∇D(x)‖² over all pixels and channels of each image: [B, H, W, C] → [B]."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = critic(images)
    gradient = tape.gradient(scores, images)
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def gradient_penalty(critic, real, fake, mix, *, weight):
    """weight·(‖∇D(x̂)‖ - 1)² at the interpolates x̂ (WGAN-GP, eq. 3), and the norms."""
    squared = squared_gradient(critic, interpolate(real, fake, mix))
    norm = tf.sqrt(squared + 1e-12)  # the root has no gradient at 0
    return weight * tf.square(norm - 1), norm


def divergence_penalty(critic, real, fake, mix, *, weight, power):
    """weight·‖∇D(x̂)‖^power at the interpolates x̂ (WGAN-div, eq. 8), and the norms."""
    squared = squared_gradient(critic, interpolate(real, fake, mix))
    return weight * (squared + 1e-12) ** (power / 2), tf.sqrt(squared + 1e-12)
