"""The augmentation of everything that a critic sees, and its strength."""

import tensorflow as tf

from training.randomness import fold

TARGET = 0.6  # of `sign_real` (2006.06676, section 3.1)
IMAGES = 100_000  # real images in which an adaptive p goes from 0 to 1
EVERY = 4  # steps between two changes of an adaptive p
MOST = 0.8  # of an adaptive p: above it, samples begin to look augmented (section 2.2)


class Augment(tf.Module):
    """Augments images with probability `p`, which is fixed or follows the critic.

    The critic of few images memorises them: the share of real images that it takes for real rises
    to 1. An adaptive p rises while that share is above `TARGET`, and falls below it.

    Attributes:
      transforms: functions as in `diffaugment.py`, in their order; () changes nothing.
      adaptive: True if p adapts.
      p: tf.Variable, the probability of each transform.
      jit: True if XLA compiles the calls.
    """

    def __init__(self, transforms=(), p=1.0, adaptive=False, jit=False):
        super().__init__(name="augment")
        self.transforms, self.adaptive, self.jit = tuple(transforms), adaptive, jit
        self.p = tf.Variable(0.0 if adaptive else p, name="p")
        self.signs = tf.Variable([0.0, 0.0], name="sum_and_count_of_signs")

    def __bool__(self):
        return bool(self.transforms)

    def __call__(self, images, key):
        """Augment a replica's images float32 [B, H, W, C] in [-1, 1], by the key int32 [2]."""
        if not self:
            return images
        p = tf.convert_to_tensor(self.p)
        if not self.adaptive or self.jit:  # XLA cannot compile second derivatives of a branch
            return self._apply(images, key, p)
        return tf.cond(p > 0, lambda: self._apply(images, key, p), lambda: images)

    def _apply(self, images, key, p):
        for i, transform in enumerate(self.transforms):
            images = transform(images, fold(key, i), p)
        return images

    def adapt(self, sign_real, images):
        """Move an adaptive p, once in `EVERY` calls.

        Args:
          sign_real: mean of sign(D(x)) over a step's real images x, in [-1, 1].
          images: number of these images.
        """
        if not self.adaptive:
            return
        total, calls = tf.unstack(self.signs + tf.stack([sign_real, 1.0]))
        due = calls >= EVERY
        change = tf.sign(total / calls - TARGET) * calls * tf.cast(images, tf.float32) / IMAGES
        self.p.assign(tf.where(due, tf.clip_by_value(self.p + change, 0.0, MOST), self.p))
        self.signs.assign(tf.where(due, tf.zeros([2]), tf.stack([total, calls])))
