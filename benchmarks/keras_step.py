"""The forms in which Keras tutorials train a WGAN, on our networks, losses and optimisers.

Each critic update makes its own fakes, scores real and fake images apart, and takes the penalty
over the whole batch; the generator's update makes fakes once more. There is no moving average.
"""

import keras
import tensorflow as tf

import losses
from commands import build
from config.rows import import_object as resolve
from config.tables import ARCHS, LATENTS


class Tutorial(keras.Model):
    """WGAN as keras.io's example of WGAN-GP writes it: a `train_step` for `compile` and `fit`."""

    def __init__(self, c, spec):
        super().__init__()
        values, arch = vars(c), ARCHS[c.arch]
        self.c, self.classes = c, spec.classes
        fields = {name: values[name] for name in arch.network}
        self.generator, self.critic = resolve(arch.builder)(spec, **fields)
        self.objective = build.build_objective(c.mode, values)
        self.latents = resolve(LATENTS[c.z_distribution].function)
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
        """One update of the critic on uint8 images and labels; its loss."""
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
        """One update of the generator for labels; its loss."""
        labels = self._one_hot(labels)
        with tf.GradientTape() as tape:
            scores = self.critic([self._fake(labels), *labels], training=True)
            loss = tf.reduce_mean(self.objective.generator_loss(None, scores))
        weights = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    def train_step(self, data):
        """All updates of a step, for `fit`."""
        images, labels = data
        for i in range(self.c.critic_num):
            d_loss = self.critic_update(images[i], labels[i])
        return {"d_loss": d_loss, "g_loss": self.generator_update(labels[-1])}

    def weights_by_network(self):
        """{"generator": trainable arrays, "critic": …}."""
        networks = {"generator": self.generator, "critic": self.critic}
        return {n: [w.numpy() for w in x.trainable_variables] for n, x in networks.items()}

    def updates(self):
        """How often (the generator, the critic) has been updated."""
        return int(self.g_optimizer.iterations), int(self.d_optimizer.iterations)


def fit(c, spec, batch, jit):
    """The tutorial through `compile` and `fit`, over a tf.data.Dataset that repeats a batch.

    `jit` is `compile`'s own word: "auto", its default, means XLA wherever the layers allow it.
    Gives (run, model) as `plain` does.
    """
    model = Tutorial(c, spec)
    model.compile(jit_compile=jit)
    data = tf.data.Dataset.from_tensors(batch).repeat().prefetch(2)

    def run(steps):
        model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0)

    return run, model


def plain(c, spec, batch):
    """One tf.function for each update, called from a loop in Python.

    Gives (run, model): `run(n)` does n steps and waits for their end.
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
