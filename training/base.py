"""What every trainer does around its own part of a step: replicas, counts, and what is not finite.

To run on several replicas a trainer makes its networks, optimisers and averages in the scope of its
`strategy`, and writes its step as `_own_step`, by the rules of `distribute.py`.
"""

import numpy as np
import tensorflow as tf

from training import randomness, replicas


@tf.function
def _sums(weights):
    """The sum of each list of tensors in a dict: of one that is not finite, it is not either."""
    return {name: tf.add_n([tf.reduce_sum(w) for w in own]) for name, own in weights.items()}


class Trainer:
    """Counts of steps and images, and the compiled step, of `batch_size` images on all replicas."""

    def __init__(self, strategy, *, batch_size, image, seed, jit=False):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.jit = jit
        self.batch_size, self.image = batch_size, image
        # Roots of the random keys: of training, and of what only looks at it.
        self.key, self.still = tf.constant([seed, 0], tf.int32), tf.constant([seed, 2], tf.int32)
        self.count = tf.Variable(0, dtype=tf.int64, name="step")
        with tf.device("CPU"):  # so that the host can read it without waiting for the device
            self.seen = tf.Variable(0, dtype=tf.int64, name="images_seen")
        self.broken = tf.Variable(-1, dtype=tf.int64, name="broken_step")
        self.broken_terms = tf.Variable(tf.zeros([0]), shape=[None], name="broken_terms")
        self.terms = ()

    @property
    def trained(self):
        """The networks that are trained: name → Keras model."""
        raise NotImplementedError

    def _own_step(self, images, labels, key):
        """A replica's part of a step, on the images of its process: its parts of the terms."""
        raise NotImplementedError

    def _after(self):
        """What is done after a step, around the replicas: averages."""

    def _compile(self):
        """`step`, compiled."""
        return self._compiled(self._step)

    def _compiled(self, step, *more):
        """A step of images, labels and `more` that are specified, compiled.

        Several replicas, and XLA, have a trace for each number of critic updates: replicas cannot
        wait for each other in a loop of TensorFlow's, and in one XLA takes ten times as long on a
        CPU. It compiles a replica's part alone: around it there are variables of the host's.
        """
        own = self._own_step
        self._part = tf.function(own, jit_compile=True) if self.jit else own
        if self.jit or self.strategy.num_replicas_in_sync > 1:
            return tf.function(step)
        return tf.function(step, input_signature=[*self._inputs(), *more])

    def _inputs(self):
        """What a step takes."""
        images = tf.TensorSpec([None, self.batch_size, *self.image], tf.uint8)
        return images, tf.TensorSpec([None, self.batch_size], tf.int32)

    def _updates(self, images):
        """How many critic updates [n, ...] images are for: a number where the trace is of so many.

        The loop over a number is unrolled.
        """
        return images.shape[0] or tf.shape(images)[0]

    def _step(self, images, labels):
        """`step`: as many critic updates as there are batches, then one generator update.

        Args:
          images: uint8 [n, B, H, W, C], B being what this process has of the batch.
          labels: int32 [n, B].

        Returns:
          A dict of scalars: losses and the rest, of the critic's as means over its updates.
        """
        key = randomness.fold(self.key, self.count)
        terms = self.strategy.run(self._part, (images, labels, key))
        terms = replicas.summed(self.strategy, terms)
        self.count.assign_add(1)
        self.seen.assign_add(tf.shape(labels, tf.int64)[0] * self.batch_size)
        self._after()
        self._watch(terms)
        return terms

    def _watch(self, terms):
        """Keep the first step whose terms are not all finite, for the host to find."""
        self.terms = tuple(terms)
        values = tf.stack(list(terms.values()))
        if self.broken < 0 and not tf.reduce_all(tf.math.is_finite(values)):
            self.broken.assign(self.count)
            self.broken_terms.assign(values)

    def problem(self):
        """None, or which step and terms were the first not to be finite. Waits for the device.

        Weights are looked at too: a gradient can overflow where its loss does not.
        """
        step, wrong = self.broken.numpy(), []
        if step >= 0:
            values = zip(self.terms, self.broken_terms.numpy())
            wrong = [name for name, v in values if not np.isfinite(v)]
        else:
            step = self.count.numpy()
            # As tensors: a function would keep the first trainer's mirrored variables for good.
            sums = _sums(
                {
                    name: [tf.convert_to_tensor(w) for w in network.trainable_variables]
                    for name, network in self.trained.items()
                }
            )
            wrong = [f"the {name}'s weights" for name in sums if not np.isfinite(sums[name])]
        return f"{', '.join(wrong)} not finite at step {step}" if wrong else None
