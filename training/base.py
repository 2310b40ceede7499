"""What every trainer has: replicas, counts of steps and images, and the check for NaN.

A trainer that runs on several replicas makes its networks, optimisers and averages in the scope of
its `strategy`, and writes its step as `_replica_step`, by the rules of `replicas.py`.
"""

import enum

import numpy as np
import tensorflow as tf

from training import replicas
from training.randomness import fold

# Keras passes the gradients of all weights through one IdentityN. Grappler's dependency optimiser
# then removes control edges, and a weight may be read in the backward pass after its update: losses
# differ from run to run. `python -m benchmarks.races` checks the final graphs.
tf.config.optimizer.set_experimental_options({"dependency_optimization": False})


class Use(enum.Enum):
    """What a critic is asked for, see `GANTrainer.judge`."""

    CRITIC = "the critic's update"
    GENERATOR = "the generator's update"
    PENALTY = "a penalty on the critic's gradient"
    MEASURE = "the log: in inference mode"


@tf.function
def _sums(weights):
    """Sum each list of tensors in a dict. A sum is finite only if all its terms are."""
    return {name: tf.add_n([tf.reduce_sum(w) for w in own]) for name, own in weights.items()}


class TrainerBase:
    """Counts of steps and images, and the compiled step.

    Args:
      strategy: a tf.distribute strategy, or None for one replica.
      batch_size: images in a batch, on all replicas together.
      image: (height, width, channels) of the images that a step takes.
      seed: root of all random keys.
      jit: compile a replica's part of the step with XLA.
    """

    def __init__(self, strategy, *, batch_size, image, seed, jit=False):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.jit = jit
        self.batch_size, self.image = batch_size, image
        # Roots of the random keys: of training, and of what only looks at the networks.
        self.key, self.still = tf.constant([seed, 0], tf.int32), tf.constant([seed, 2], tf.int32)
        self.count = tf.Variable(0, dtype=tf.int64, name="step")
        with tf.device("CPU"):  # the host reads it without waiting for the device
            self.seen = tf.Variable(0, dtype=tf.int64, name="images_seen")
        self.broken = tf.Variable(-1, dtype=tf.int64, name="broken_step")
        self.broken_terms = tf.Variable(tf.zeros([0]), shape=[None], name="broken_terms")
        self.terms = ()

    @property
    def trained(self):
        """The networks that are trained: name → Keras model."""
        raise NotImplementedError

    def _replica_step(self, images, labels, key):
        """One replica's part of a step, on the images of its process.

        Returns:
          A dict of scalars. The terms of the step are their sums over the replicas.
        """
        raise NotImplementedError

    def _after_step(self):
        """What follows a step, outside of the replicas' part: averages."""

    def _compile(self):
        """Return the compiled step."""
        return self._compiled(self._step)

    def _compiled(self, step, *more):
        """Compile a step of images, labels and of what the TensorSpecs `more` describe.

        On several replicas and with XLA there is one trace for each number of critic updates:
        replicas cannot wait for each other inside a loop of TensorFlow, and XLA runs such a loop
        ten times slower on a CPU. XLA compiles `_replica_step` alone: the code around it uses
        variables on the host.
        """
        part = self._replica_step
        self._part = tf.function(part, jit_compile=True) if self.jit else part
        if self.jit or self.strategy.num_replicas_in_sync > 1:
            return tf.function(step)
        return tf.function(step, input_signature=[*self._inputs(), *more])

    def _inputs(self):
        """The TensorSpecs of a step's images and labels."""
        images = tf.TensorSpec([None, self.batch_size, *self.image], tf.uint8)
        return images, tf.TensorSpec([None, self.batch_size], tf.int32)

    def _updates(self, images):
        """The number of critic updates that images [n, ...] are for.

        A Python int where the trace has a fixed n, so that loops over it are unrolled.
        """
        return images.shape[0] or tf.shape(images)[0]

    def _step(self, images, labels):
        """One step: n critic updates, then one generator update.

        Args:
          images: uint8 [n, B, H, W, C], where B is this process's share of the batch.
          labels: int32 [n, B].

        Returns:
          A dict of scalars: losses and other terms. The critic's are means over its n updates.
        """
        key = fold(self.key, self.count)
        terms = self.strategy.run(self._part, (images, labels, key))
        terms = replicas.summed(self.strategy, terms)
        self.count.assign_add(1)
        self.seen.assign_add(tf.shape(labels, tf.int64)[0] * self.batch_size)
        self._after_step()
        self._record_broken(terms)
        return terms

    def _record_broken(self, terms):
        """Record the first step with a term that is NaN or infinite; `problem` reads it."""
        self.terms = tuple(terms)
        values = tf.stack(list(terms.values()))
        if self.broken < 0 and not tf.reduce_all(tf.math.is_finite(values)):
            self.broken.assign(self.count)
            self.broken_terms.assign(values)

    def problem(self):
        """Describe the first non-finite step, or return None. Blocks on the device.

        It also checks the weights: a gradient can overflow where the loss does not.
        """
        step, wrong = self.broken.numpy(), []
        if step >= 0:
            values = zip(self.terms, self.broken_terms.numpy())
            wrong = [name for name, v in values if not np.isfinite(v)]
        else:
            step = self.count.numpy()
            # Tensors, since a tf.function would keep the first trainer's mirrored variables alive.
            sums = _sums(
                {
                    name: [tf.convert_to_tensor(w) for w in network.trainable_variables]
                    for name, network in self.trained.items()
                }
            )
            wrong = [f"the {name}'s weights" for name in sums if not np.isfinite(sums[name])]
        return f"{', '.join(wrong)} not finite at step {step}" if wrong else None
