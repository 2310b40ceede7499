"""The DCGAN pair of networks, and the trainer of one generator against one critic."""

import math

import keras
import tensorflow as tf

import losses
import ops
from layers import stock
from training import average, replicas
from training.base import Trainer
from training.randomness import fold

# What a random number is for; it keys the stateless generators beside the seed and the step.
LATENT, POINTS, FLIP, PREVIEW, STATISTICS, MEASURE = range(6)
SCORE_SCALE = 256.0  # float16's smallest gradients are then 2e-7, and its largest 256
MOST_PIXELS = 4096  # of a grid's height
# Seed 002 (and WGAN's authors, with 100): 25 critic updates in the first ten steps of an epoch
# and in every 200th.
BURST, FIRST_BURSTS, BURST_EVERY = 25, 10, 200


def critic_sizes(size):
    """The chain of image sizes of a critic: halved, rounded up, until both sides are ≤ 4."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 4:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def generator_sizes(size):
    """The same for a generator, which stops at 5 or 7: 28 → 14 → 7, 48 → 24 → 12 → 6 → 3."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > 7 or (max(sizes[-1]) > 4 and max(sizes[-1]) % 2 == 0):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def halvings(size, widths, sizes, most=512):
    """(sizes, widths) from the image inwards.

    One width is a base, doubled at each of `sizes` up to `most` channels; a list of widths is
    taken as it is, and its length tells how often the size is halved.
    """
    if len(widths) == 1:
        chain = sizes(size)
        return chain, [min(widths[0] * 2**i, max(most, widths[0])) for i in range(len(chain) - 1)]
    chain = [tuple(size)]
    for _ in widths:
        chain.append(tuple((n + 1) // 2 for n in chain[-1]))
    return chain, list(widths)


def build_dcgan(
    spec,
    *,
    z_dim,
    g_width,
    d_width,
    fc_width,
    kernel_size,
    bias,
    g_norm,
    critic_norm,
    label_mode,
):
    """DCGAN (1511.06434) for any size, with labels where the set has them.

    Args:
      bias: in "all" layers, in those that no norm follows ("unnormed"), or in "none".
      label_mode: "concat" appends the labels at every layer of both networks, as seed 002
        does; "projection" gives them to the generator's first layer and the critic's last.

    Returns:
      generator: [z [B, z_dim], (labels [B, K])] → images [B, H, W, C] in [-1, 1].
      critic: [images, (labels)] → scores [B].
    Seed 002's networks are the widths (512, 256, 128, 64) and (64, 128, 256, 512) for faces,
    (128, 128), (11, 74) and a dense layer of 1024 for MNIST, all with kernels of 5. Deviation:
    tanh and [-1, 1] for MNIST too, which differs from a sigmoid and [0, 1] by a scale alone.
    """
    size = (spec.height, spec.width)
    every = {"label_mode": label_mode, "fc_width": fc_width, "kernel": kernel_size, "bias": bias}
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    chain, widths = halvings(size, g_width[::-1], generator_sizes)
    image = _grow(z, labels, chain, [spec.channels, *widths], norm=g_norm, **every)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    _, widths = halvings(size, d_width, critic_sizes)
    score = _judge(images, labels, widths, norm=critic_norm, **every)
    return generator, keras.Model([images, *labels], score, name="critic")


def biases(bias, norm):
    """Do the layers have biases: (those that the norm follows, those that none follows)?"""
    return bias == "all" or (bias == "unnormed" and norm == "none"), bias != "none"


def _grow(z, labels, chain, widths, *, label_mode, fc_width, kernel, bias, norm):
    """Latents → images in [-1, 1]; `chain` and `widths` are listed from the image inwards."""
    inner = labels if label_mode == "concat" else []
    height, width = chain[-1]
    normed, last = biases(bias, norm)
    x = ops.concat_labels(z, labels)
    if fc_width:
        x = ops.relu(ops.norm(ops.dense(x, fc_width, bias=normed), norm))
        x = ops.concat_labels(x, inner)
    x = ops.dense(x, height * width * widths[-1], bias=normed)
    if fc_width:  # seed 002 has this norm before the reshape here, and after it elsewhere
        x = ops.norm(x, norm)
    x = keras.layers.Reshape((height, width, widths[-1]))(x)
    x = ops.relu(x if fc_width else ops.norm(x, norm))
    for size, width in zip(chain[-2:0:-1], widths[-2:0:-1]):
        x = ops.deconv(ops.concat_labels(x, inner), width, kernel, size, bias=normed)
        x = ops.relu(ops.norm(x, norm))
    x = ops.deconv(ops.concat_labels(x, inner), widths[0], kernel, chain[0], bias=last)
    return keras.layers.Activation("tanh", dtype="float32")(x)


def _judge(x, labels, widths, *, label_mode, fc_width, kernel, bias, norm):
    """Images → scores [B]; no norm in the first layer (DCGAN)."""
    inner = labels if label_mode == "concat" else []
    normed, last = biases(bias, norm)
    for i, width in enumerate(widths):
        x = ops.conv(ops.concat_labels(x, inner), width, kernel, bias=normed if i else last)
        x = ops.leaky_relu(ops.norm(x, norm if i else "none"))
    x = keras.layers.Flatten()(x)
    if fc_width:
        x = ops.dense(ops.concat_labels(x, inner), fc_width, bias=normed)
        x = ops.leaky_relu(ops.norm(x, norm))
    return ops.score(x, labels, label_mode, bias=last)


def penalised(batch_size, fraction):
    """How many images of a batch are penalised: that share of it, and two at least.

    Of one image alone, TensorFlow 2.21 on a CPU takes the gradient of a strided 1x1 convolution
    of few channels beyond its memory, and dies.
    """
    return max(2, round(fraction * batch_size))


class GANTrainer(Trainer):
    """One generator against one critic, and the moving average of the generator.

    Its members are those that `train.fit` asks for.
    With `bursts`, the steps of an epoch, the critic has more updates now and then.
    All randomness is keyed by (seed, step, purpose), so that a run continues bit for bit
    from its weights, its optimisers' slots and the count of its steps.
    The networks and optimisers are made in the scope of `strategy`, a tf.distribute one, where
    there is one. `batch_size` is that of all its replicas.
    """

    def __init__(
        self,
        generator,
        critic,
        objective,
        g_optimizer,
        d_optimizer,
        *,
        batch_size,
        critic_num,
        bursts=0,
        latents,
        penalty_every=1,
        penalty_fraction=1.0,
        ema=0.999,
        mirror=False,
        seed=0,
        strategy=None,
        jit=False,
    ):
        image = tuple(critic.inputs[0].shape[1:])
        super().__init__(strategy, batch_size=batch_size, image=image, seed=seed, jit=jit)
        self.generator, self.critic, self.objective = generator, critic, objective
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        self.critic_num, self.bursts = critic_num, bursts
        self.penalty_every = penalty_every
        self.n_penalised = penalised(batch_size, penalty_fraction)
        half = any(layer.compute_dtype == "float16" for layer in stock.layers_of(critic))
        self.score_scale = SCORE_SCALE if half else 1.0
        self.latents, self.ema, self.mirror = latents, ema, mirror
        self.z_dim = generator.inputs[0].shape[-1]
        self.classes = generator.inputs[1].shape[-1] if len(generator.inputs) > 1 else 0
        # Batch norm's statistics are a batch's own: real and fake images then go apart.
        self.joint = not average.batch_norms(critic)
        with self.strategy.scope():
            self.average = self._copy(generator)
            self.statistics = average.Statistics(self.average, self._statistics_inputs)
            # Of the newest penalty and gradient norm, each replica's part.
            self.parts = tf.Variable(
                [0.0, 0.0],
                name="penalty_and_gradient_norm",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            g_optimizer.build(generator.trainable_variables)
            d_optimizer.build(critic.trainable_variables)
        several = self.strategy.num_replicas_in_sync > 1
        self.penalised = tf.Variable([0.0, 0.0]) if several else self.parts
        self.step = self._compile()

    def _copy(self, network):
        """What becomes the average of a network, with the same weights."""
        return stock.stock(network, copy=True)

    @property
    def state(self):
        """What a checkpoint holds, as a dict of trackables."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.average,
            "g_optimizer": self.g_optimizer,
            "d_optimizer": self.d_optimizer,
            "step": self.count,
            "seen": self.seen,
            "penalised": self.penalised,
        }

    @property
    def trained(self):
        """The networks that are trained."""
        return {"generator": self.generator, "critic": self.critic}

    @property
    def last(self):
        """The count of steps at which training ends by itself."""
        return math.inf

    @property
    def networks(self):
        """What is saved for use without training: file name → Keras model of stock layers."""
        return {"generator": self.average, "critic": stock.stock(self.critic)}

    @property
    def starters(self):
        """What a run can start from: file name → the networks that take its weights."""
        return {"generator": (self.generator, self.average), "critic": (self.critic,)}

    def resume(self, generator, critic):
        """Go on from a restored state: at these learning rates, and with no step broken."""
        self.broken.assign(-1)
        self.parts.assign(self.penalised)
        self.g_optimizer.learning_rate = generator
        self.d_optimizer.learning_rate = critic

    def batch_spec(self, step):
        """The images that a step wants: [critic updates, batch]."""
        index = step % self.bursts if self.bursts else -1
        many = self.bursts and (index < FIRST_BURSTS or index % BURST_EVERY == 0)
        return (BURST if many else self.critic_num, self.batch_size)

    def _own_step(self, images, labels, key):
        """A replica's part of `step`: its own rows, and its parts of the terms.

        The generator's update takes the fakes of the last critic update: one pass less.
        """
        images, labels = (replicas.fed(self.strategy, x) for x in (images, labels))
        n = self._updates(images)
        hot = self._one_hot(labels[-1])
        weights = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in weights])
            fake = self._generate(hot, fold(key, n - 1))
            with tape.stop_recording():
                terms = self._update_critic(images, labels, fake, key, n)
            scores = self.critic([fake, *hot], training=True)
            loss = self._mean(self.objective.generator_loss(scores))
            scaled = self.g_optimizer.scale_loss(loss)
        self._apply(self.g_optimizer, tape.gradient(scaled, weights), weights)
        terms["generator_loss"] = loss
        return terms

    def _update_critic(self, images, labels, fake, key, n):
        """All `n` critic updates of a step, the last one on `fake`; the means of their terms."""
        names = self._critic_terms()
        sums = [tf.zeros([]) for _ in names]
        for i in tf.range(n) if tf.is_tensor(n) else range(n):
            hot, own = self._one_hot(labels[i]), fold(key, i)
            fakes = self._generate(hot, own) if i < n - 1 else fake
            terms = self._critic_update(images[i], fakes, hot, own)
            sums = [s + terms[t] for s, t in zip(sums, names)]
        return {t: s / tf.cast(n, s.dtype) for s, t in zip(sums, names)}

    def _critic_terms(self):
        penalised = ("penalty", "gradient_norm") if self.objective.penalty else ()
        probabilities = ("d_real", "d_fake") if self.objective.probabilities else ()
        return ("critic_loss", self.objective.gap, *penalised, *probabilities)

    def _one_hot(self, labels):
        return [tf.one_hot(labels, self.classes)] if self.classes else []

    def _to_float(self, images, key):
        """uint8 → [-1, 1], flipped left-right at random where the set allows it."""
        if self.mirror:
            count = images.shape[0]
            flip = replicas.uniform(fold(key, FLIP), (count,)) < 0.5
            both = tf.concat([images, tf.reverse(images, [2])], 0)  # tf.where is slower by far
            images = tf.gather(both, tf.range(count) + tf.where(flip, count, 0))
        return tf.cast(images, tf.float32) / 127.5 - 1

    def _generate(self, labels, key):
        """Fakes of fresh latents, by batch statistics that leave the moving ones alone."""
        rows = self.batch_size // replicas.how_many()
        z = replicas.draw(self.latents, fold(key, LATENT), (rows, self.z_dim))
        weights = self.generator.trainable_variables, self.generator.non_trainable_variables
        fake = self.generator.stateless_call(*weights, [z, *labels], training=True)[0]
        return tf.cast(fake, tf.float32)

    def _score(self, real, fake, labels):
        if not self.joint:
            return [self.critic([x, *labels], training=True) for x in (real, fake)]
        both = [tf.concat([a, b], 0) for a, b in [(real, fake), *((y, y) for y in labels)]]
        return tf.split(self.critic(both, training=True), 2)

    def _mean(self, values, count=None):
        """A replica's part of the mean over the whole batch, or over its first `count` samples."""
        count = count or self.batch_size
        return tf.reduce_sum(replicas.first(losses.per_image(values), count)) / count

    def _critic_update(self, images, fake, labels, key):
        real = self._to_float(images, key)
        terms, objective = {}, self.objective
        with tf.GradientTape() as tape:
            real_scores, fake_scores = self._score(real, fake, labels)
            loss = self._mean(objective.critic_loss(real_scores, fake_scores))
            if objective.drift:
                loss += objective.drift * self._mean(losses.drift(real_scores))
            if objective.penalty:
                loss += self._penalise(real, fake, labels, key)
                terms["penalty"], terms["gradient_norm"] = tf.unstack(self.parts)
            scaled = self.d_optimizer.scale_loss(loss)
        terms["critic_loss"] = loss
        weights = self.critic.trainable_variables
        self._apply(self.d_optimizer, tape.gradient(scaled, weights), weights)
        if objective.clip:
            self._clip(weights)
        terms[objective.gap] = self._mean(real_scores - fake_scores)
        if objective.probabilities:
            scores = {"d_real": real_scores, "d_fake": fake_scores}
            terms |= {name: self._mean(tf.sigmoid(s)) for name, s in scores.items()}
        return terms

    def _apply(self, optimizer, gradients, weights):
        optimizer.apply(replicas.all_or_none(optimizer, gradients), weights)

    def _clip(self, weights):
        for weight in weights:
            weight.assign(tf.clip_by_value(weight, *self.objective.clip))

    def _penalise(self, real, fake, labels, key):
        """The penalty on a share of the batch, at every k-th critic update k-fold, else 0.

        `parts` keeps the newest penalty and gradient norm for the log.
        """
        n = max(2, -(-self.n_penalised // replicas.how_many()))
        y = [t[:n] for t in labels]

        def penalty():
            points = self.objective.points(real[:n], fake[:n], fold(key, POINTS))
            critic = lambda x: self.critic([x, *y], training=True)  # noqa: E731
            squared = losses.squared_gradient(critic, points, self.score_scale)
            values = self.objective.penalty(squared, **self.objective.weights)
            mean = self._mean(values, self.n_penalised)
            self.parts.assign([mean, self._mean(losses.norm(squared), self.n_penalised)])
            return mean * self.penalty_every

        if self.penalty_every == 1:
            return penalty()
        due = tf.cast(self.d_optimizer.iterations.value, tf.int64) % self.penalty_every == 0
        return tf.cond(due, penalty, lambda: tf.constant(0.0))

    def _after(self):
        if self.penalised is not self.parts:
            self.penalised.assign(self.parts)
        self.strategy.run(average.move, (self.average, self.generator, self.count, self.ema))

    def measure(self, images, labels):
        """What the log has beside a step's terms: the gradient norm where no penalty gives it."""
        if self.objective.penalty:
            return {}
        key = fold(self.still, MEASURE, self.count)
        return self._norm(images[:1], labels[:1], key)

    @tf.function
    def _norm(self, images, labels, key):
        return replicas.summed(
            self.strategy, self.strategy.run(self._own_norm, (images, labels, key))
        )

    def _own_norm(self, images, labels, key):
        images, labels = (replicas.fed(self.strategy, x)[0] for x in (images, labels))
        real, hot = self._to_float(images, key), self._one_hot(labels)
        points = losses.interpolates(real, self._generate(hot, key), fold(key, POINTS))
        critic = lambda x: self.critic([x, *hot], training=False)  # noqa: E731
        norms = losses.norm(losses.squared_gradient(critic, points, self.score_scale))
        return {"gradient_norm": self._mean(norms)}

    def refresh(self):
        """Estimate the averaged generator's batch-norm statistics, from seeded latents."""
        self.statistics.estimate()

    def _statistics_inputs(self, chunk, count):
        """What the averaged generator is called with for one chunk of `count` latents."""
        z = self.latents(fold(self.still, STATISTICS, chunk), (count, self.z_dim))
        return [z, *self._cycle(count)]

    def _cycle(self, count):
        """Labels 0, 1, …, K - 1, 0, … one-hot, or none."""
        return self._one_hot(tf.range(count) % max(self.classes, 1))

    def samples(self, labels):
        """uint8 images of the averaged generator for labels int [N], to be measured."""
        self.refresh()
        return average.draw_measured(self.average, self.latents, labels)

    def preview(self):
        """Fixed latents as the averaged generator shows them.

        Returns:
          (images float32 [N, H, W, C] in [-1, 1], columns of their grid): eight rows, and a
          column for each class where there are labels, eight columns where not. Fewer where that
          would be more than `MOST_PIXELS` high.
        """
        self.refresh()
        rows = max(1, min(8, MOST_PIXELS // self.image[0]))
        columns = self.classes if 1 < self.classes <= 16 else rows
        z = self.latents(fold(self.still, PREVIEW), (rows * columns, self.z_dim))
        return average.draw(self.average, z, self._cycle(rows * columns)), columns
