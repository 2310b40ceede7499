"""Losses and penalties. Scores are [B], a higher score meaning more real; or maps [B, h, w, 1].

Every function returns one value for each score; the trainer averages over the patches of an
image and over the global batch. Sources: GAN 1406.2661, WGAN 1701.07875, WGAN-GP 1704.00028,
WGAN-div 1712.01026, and those named with each.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from training import replicas

softplus = tf.math.softplus  # softplus(-s) = -log sigmoid(s): stable for any score


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a mode minimises.

    Attributes:
      critic_loss: (real scores, fake scores) → [B].
      generator_loss: fake scores → [B].
      points: (real, fake, key) → the images where the critic's gradient is penalised.
      penalty: (squared gradient norms [B], **weights) → [B], or None.
      weights: the penalty's keywords.
      clip: bounds that the critic's weights are held in after its update, or None.
      drift: weight of `drift`, which is added to the critic's loss.
      gap: what mean(real scores) - mean(fake scores) is called.
      probabilities: the scores are logits, so that D(x) and D(G(z)) can be logged.
    """

    critic_loss: Callable
    generator_loss: Callable
    points: Callable | None = None
    penalty: Callable | None = None
    weights: dict = dataclasses.field(default_factory=dict)
    clip: tuple[float, float] | None = None
    drift: float = 0.0
    gap: str = "gap"
    probabilities: bool = False


def wasserstein_critic(real, fake):
    """D(G(z)) - D(x) (WGAN, eq. 3): its negative estimates the Wasserstein distance."""
    return fake - real


def wasserstein_generator(fake):
    """-D(G(z)) (WGAN, algorithm 1)."""
    return -fake


def drift(real):
    """D(x)², which keeps the scores of a Wasserstein critic from drifting (PGGAN, appendix A.1)."""
    return tf.square(real)


def logistic_critic(real, fake):
    """-log σ(D(x)) - log(1 - σ(D(G(z)))) from logits (GAN, algorithm 1)."""
    return softplus(-real) + softplus(fake)


def logistic_generator(fake):
    """-log σ(D(G(z))), the non-saturating form (GAN, section 3)."""
    return softplus(-fake)


def least_squares_critic(real, fake):
    """(D(x) - 1)²/2 + D(G(z))²/2 (LSGAN 1611.04076, eq. 9)."""
    return (tf.square(real - 1) + tf.square(fake)) / 2


def least_squares_generator(fake):
    """(D(G(z)) - 1)²."""
    return tf.square(fake - 1)


def hinge_critic(real, fake):
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (1705.02894; 1802.05957, eq. 16)."""
    return tf.nn.relu(1 - real) + tf.nn.relu(1 + fake)


def reals(real, fake, key):
    """The real images (R1)."""
    del fake, key
    return real


def perturbed_reals(real, fake, key):
    """Real images moved towards noise of half their deviation (DRAGAN 1705.07215, algorithm 1).

    The deviation is over the whole batch, as in the authors' code.
    """
    del fake
    mix = replicas.uniform(key, (real.shape[0], 1, 1, 1))
    other = tf.random.experimental.stateless_fold_in(key, 1)
    noise = replicas.uniform(other, real.shape)
    return real + mix * 0.5 * replicas.deviation(real) * noise


def interpolates(real, fake, key):
    """x̂ = e·real + (1 - e)·fake, one e ~ U[0, 1) for each sample (WGAN-GP, algorithm 1)."""
    mix = replicas.uniform(key, (real.shape[0], 1, 1, 1))
    return mix * real + (1 - mix) * fake


def per_image(scores):
    """The score of each image: the mean over its patches, where there are any, [B, …] → [B]."""
    axes = list(range(1, len(scores.shape)))
    return tf.reduce_mean(scores, axes) if axes else scores


def squared_gradient(critic, images, scale=1.0):
    """‖∇D(x)‖² over all pixels and channels of each image: [B, H, W, C] → [B].

    D(x) is the mean over the patches where a critic scores them. The gradient is taken of the
    scores times `scale`, for networks that compute in float16.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = per_image(critic(images))
        scores = scores if scale == 1 else scores * scale
    gradient = tape.gradient(scores, images)
    gradient = gradient if scale == 1 else gradient / scale
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def norm(squared):
    """‖∇D‖ from its square, with a gradient at 0 too."""
    return tf.sqrt(squared + 1e-12)


def one_centred(squared, *, weight):
    """weight·(‖∇D‖ - 1)² (WGAN-GP, eq. 3)."""
    return weight * tf.square(norm(squared) - 1)


def half_square(squared, *, weight):
    """weight/2·‖∇D‖² (R1 1801.04406, eq. 9)."""
    return weight / 2 * squared


def power(squared, *, weight, power):
    """weight·‖∇D‖^power (WGAN-div, eq. 8)."""
    return weight * (squared + 1e-12) ** (power / 2)
