"""A WGAN trained as in Keras tutorials, with this project's networks, losses and optimisers.

Each critic update generates new fakes, scores real and fake images in separate passes, and
penalises the whole batch. The generator's update generates fakes again. There is no EMA.
"""

import keras
import tensorflow as tf

import losses
from commands import build
from config.rows import import_object
from config.tables import ARCHS, LATENTS


class Tutorial(keras.Model):
    """A model with a `train_step` for `compile` and `fit`, as in keras.io's WGAN-GP example."""

    def __init__(self, c, spec):
        super().__init__()
        values, arch = vars(c), ARCHS[c.arch]
        self.c, self.classes = c, spec.classes
        fields = {name: values[name] for name in arch.network}
        self.generator, self.critic = import_object(arch.builder)(spec, **fields)
        self.objective = build.build_objective(c.mode, values)
        self.latents = import_object(LATENTS[c.z_distribution].function)
        self.g_optimizer = build.build_optimizer(c.optimizer, c.learning_rate, values)
        self.d_optimizer = build.build_optimizer(c.optimizer, c.d_learning_rate, values)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.critic.trainable_variables)
        self.built = True

    def _one_hot(self, labels):
        return [tf.one_hot(labels, self.classes)] if self.classes else []

    def _fake(self, labels):
        key = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
        z = self.latents(key, (self.c.batch_size, self.c.z_dim))
        return self.generator([z, *labels], training=True)

    def _real(self, images):
        if self.c.mirror:
            flip = tf.random.uniform([self.c.batch_size, 1, 1, 1]) < 0.5
            images = tf.where(flip, tf.reverse(images, [2]), images)
        return tf.cast(images, tf.float32) / 127.5 - 1

    def _penalty(self, real, fake, labels):
        mix = tf.random.uniform([self.c.batch_size, 1, 1, 1])
        critic = lambda x: self.critic([x, *labels], training=True)  # noqa: E731
        squared = losses.squared_gradient(critic, fake + mix * (real - fake))
        (penalty,) = self.objective.penalties
        return tf.reduce_mean(penalty.of(squared, **penalty.weights))

    def critic_update(self, images, labels):
        """Update the critic on uint8 images [B, H, W, C] and labels [B]; return its loss."""
        real, labels = self._real(images), self._one_hot(labels)
        with tf.GradientTape() as tape:
            fake = self._fake(labels)
            fake_scores = self.critic([fake, *labels], training=True)
            real_scores = self.critic([real, *labels], training=True)
            loss = tf.reduce_mean(self.objective.critic_loss(real_scores, fake_scores))
            if self.objective.penalties:
                loss += self._penalty(real, fake, labels)
        weights = self.critic.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, weights), weights)
        if self.objective.clip:
            for weight in weights:
                weight.assign(tf.clip_by_value(weight, *self.objective.clip))
        return loss

    def generator_update(self, labels):
        """Update the generator for labels [B]; return its loss."""
        labels = self._one_hot(labels)
        with tf.GradientTape() as tape:
            scores = self.critic([self._fake(labels), *labels], training=True)
            loss = tf.reduce_mean(self.objective.generator_loss(None, scores))
        weights = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    def train_step(self, data):
        """Do all updates of a step, for `fit`."""
        images, labels = data
        for i in range(self.c.critic_num):
            d_loss = self.critic_update(images[i], labels[i])
        return {"d_loss": d_loss, "g_loss": self.generator_update(labels[-1])}

    def weights_by_network(self):
        """Return {"generator": list of trainable arrays, "critic": …}."""
        networks = {"generator": self.generator, "critic": self.critic}
        return {n: [w.numpy() for w in x.trainable_variables] for n, x in networks.items()}

    def updates(self):
        """Return the number of updates of (the generator, the critic)."""
        return int(self.g_optimizer.iterations), int(self.d_optimizer.iterations)


def fit(c, spec, batch, jit):
    """Build the tutorial with `compile` and `fit`, over a tf.data.Dataset that repeats a batch.

    Args:
      jit: the argument `jit_compile` of `compile`. "auto", Keras' default, uses XLA if all layers
        support it.

    Returns:
      (run, model), as `plain` does.
    """
    model = Tutorial(c, spec)
    model.compile(jit_compile=jit)
    data = tf.data.Dataset.from_tensors(batch).repeat().prefetch(2)

    def run(steps):
        model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0)

    return run, model


def plain(c, spec, batch):
    """Build the tutorial with one tf.function for each update, called from a Python loop.

    Returns:
      (run, model): `run(n)` does n steps and waits for their end.
    """
    model = Tutorial(c, spec)
    critic, generator = tf.function(model.critic_update), tf.function(model.generator_update)
    images, labels = map(tf.constant, batch)

    def run(steps):
        for _ in range(steps):
            for i in range(c.critic_num):
                critic(images[i], labels[i])
            loss = generator(labels[-1])
        float(loss)

    return run, model
