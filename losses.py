"""Adversarial losses and gradient penalties.

Scores are [B], one for each image, or maps [B, h, w, 1], one for each patch. A higher score means
more real. A loss has one value for each score. The trainer averages over the patches of an image
and over the batch. Sources: GAN 1406.2661, WGAN 1701.07875, WGAN-GP 1704.00028, WGAN-div
1712.01026. Functions name their other sources.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from training import replicas
from training.randomness import fold

softplus = tf.math.softplus  # softplus(-s) = -log sigmoid(s), stable for any score


@dataclasses.dataclass(frozen=True)
class Penalty:
    """A penalty on the norm of the critic's gradient with respect to its images.

    Attributes:
      at: (real, fake, key) → the points at which the gradient is taken, [n, H, W, C].
      of: (squared gradient norms [n], **weights) → penalties [n].
      weights: the kwargs of `of`.
    """

    at: Callable
    of: Callable
    weights: dict


@dataclasses.dataclass(frozen=True)
class Auxiliary:
    """A term of the critic's loss besides the adversarial one, from its features of real images.

    An architecture's builder sets it as the attribute `auxiliary` of a critic.

    Attributes:
      name: the name under which the mean of the term, without its weight, is logged.
      weight: factor of the term.
      features: names of layers of the critic.
      network: Keras model of the features, which is trained with the critic and saved as `decoder`.
      loss: (images [B, H, W, C] as the critic saw them, the outputs of the layers, key int32 [2]) →
        float32 [B].
    """

    name: str
    weight: float
    features: tuple[str, ...]
    network: object
    loss: Callable


@dataclasses.dataclass(frozen=True)
class Objective:
    """The losses of both networks.

    Attributes:
      critic_loss: (real scores, fake scores) → losses of the same shape.
      generator_loss: (real scores, fake scores) → losses of the same shape. The real scores are
        None unless `paired`.
      paired: True if `generator_loss` needs the real scores, which cost a pass of the critic.
      penalties: the `Penalty`s that are added to the critic's loss.
      clip: (lowest, highest) weight of the critic after its update, or None.
      drift: weight of the function `drift` in the critic's loss.
      gap: the name under which mean(real scores) - mean(fake scores) is logged.
      logits: True if scores are logits. D(x) and D(G(z)) are then logged as probabilities.
      neutral: the score of an image that is as likely real as fake; None: the middle between the
        mean real and the mean fake score.
    """

    critic_loss: Callable
    generator_loss: Callable
    paired: bool = False
    penalties: tuple[Penalty, ...] = ()
    clip: tuple[float, float] | None = None
    drift: float = 0.0
    gap: str = "gap"
    logits: bool = False
    neutral: float | None = None


def wasserstein_critic(real, fake):
    """D(G(z)) - D(x) (WGAN, eq. 3). Its negative mean estimates the Wasserstein distance."""
    return fake - real


def wasserstein_generator(real, fake):
    """-D(G(z)) (WGAN, algorithm 1). Also the generator's hinge loss (1705.02894)."""
    del real
    return -fake


def drift(real):
    """D(x)². It keeps a Wasserstein critic's scores near 0 (PGGAN 1710.10196, appendix A.1)."""
    return tf.square(real)


def logistic_critic(real, fake):
    """-log σ(D(x)) - log(1 - σ(D(G(z)))) from logits (GAN, algorithm 1)."""
    return softplus(-real) + softplus(fake)


def logistic_generator(real, fake):
    """-log σ(D(G(z))), the non-saturating loss (GAN, section 3)."""
    del real
    return softplus(-fake)


def least_squares_critic(real, fake):
    """(D(x) - 1)²/2 + D(G(z))²/2 (LSGAN 1611.04076, eq. 9)."""
    return (tf.square(real - 1) + tf.square(fake)) / 2


def least_squares_generator(real, fake):
    """(D(G(z)) - 1)² (LSGAN 1611.04076, eq. 9, times 2)."""
    del real
    return tf.square(fake - 1)


def hinge_critic(real, fake):
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (1705.02894; 1802.05957, eq. 16)."""
    return tf.nn.relu(1 - real) + tf.nn.relu(1 + fake)


def relativistic_critic(real, fake):
    """-log σ(D(x) - D(G(z))) for each pair (relativistic pairing, R3GAN 2501.05441, eq. 2)."""
    return softplus(fake - real)


def relativistic_generator(real, fake):
    """-log σ(D(G(z)) - D(x)) for each pair (R3GAN 2501.05441, section 2.1)."""
    return softplus(real - fake)


def reals(real, fake, key):
    """Return the real images (R1 1801.04406, eq. 9)."""
    del fake, key
    return real


def fakes(real, fake, key):
    """Return the fake images (R2 1801.04406, eq. 10)."""
    del real, key
    return fake


def perturbed_reals(real, fake, key):
    """Add noise to real images: x + α·σ/2·u, with α, u ~ U[0, 1) (DRAGAN 1705.07215, algorithm 1).

    There is one α for each image and one u for each pixel value. σ is the standard deviation of the
    whole batch, as in the authors' code.
    """
    del fake
    mix = replicas.uniform(key, (real.shape[0], 1, 1, 1))
    noise = replicas.uniform(fold(key, 1), real.shape)
    return real + mix * 0.5 * replicas.deviation(real) * noise


def interpolates(real, fake, key):
    """e·real + (1 - e)·fake, with one e ~ U[0, 1) for each pair (WGAN-GP, algorithm 1)."""
    mix = replicas.uniform(key, (real.shape[0], 1, 1, 1))
    return mix * real + (1 - mix) * fake


def n_penalised(batch_size, fraction):
    """Return the number of penalised images of a batch: a fraction of it, two if it has two.

    A single image estimates the mean of the penalty poorly.
    """
    return min(batch_size, max(2, round(fraction * batch_size)))


def per_image(scores):
    """Return the score of each image, the mean over its patches: [B, ...] → [B]."""
    axes = list(range(1, len(scores.shape)))
    return tf.reduce_mean(scores, axes) if axes else scores


def squared_gradient(critic, images, scale=1.0):
    """‖∇D(x)‖² over all pixels and channels of each image.

    D(x) is the mean over the patches if the critic scores patches.

    Args:
      critic: function of images that returns scores.
      images: float32 [B, H, W, C].
      scale: factor of the scores before the gradient is taken. The gradient is divided by it. This
        avoids underflow in float16.

    Returns:
      float32 [B].
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = per_image(critic(images))
        scores = scores if scale == 1 else scores * scale
    gradient = tape.gradient(scores, images)
    gradient = gradient if scale == 1 else gradient / scale
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def norm(squared):
    """Return ‖∇D‖ from ‖∇D‖². The added 1e-12 keeps the gradient finite at 0."""
    return tf.sqrt(squared + 1e-12)


def one_centred(squared, *, weight):
    """weight·(‖∇D‖ - 1)² (WGAN-GP, eq. 3)."""
    return weight * tf.square(norm(squared) - 1)


def half_square(squared, *, weight):
    """weight/2·‖∇D‖² (R1 and R2, 1801.04406, eq. 9 and 10)."""
    return weight / 2 * squared


def power(squared, *, weight, power):
    """weight·‖∇D‖^power (WGAN-div, eq. 8)."""
    return weight * (squared + 1e-12) ** (power / 2)
