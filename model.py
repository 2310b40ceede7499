"""The DCGAN networks, and the trainer of one generator against one critic.

A train step is one compiled function: all critic updates, with gradient penalties in nested tapes
or with weight clipping, and one generator update.
"""

import keras
import tensorflow as tf

import losses
import ops
from layers import fast, spectral, stock, transfer
from training import replicas
from training.base import Use
from training.pair import PairTrainer
from training.randomness import Purpose, fold

SCORE_SCALE = 256.0  # factor of the scores in float16: gradients from 2e-7 to 256 are representable


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
    """Build the DCGAN networks (1511.06434) for images of any size.

    Both networks take labels if `spec` has classes.

    Args:
      spec: a `datasets.packed.ImageSpec`.
      z_dim: length of a latent.
      g_width, d_width: channels, see `ops.halvings`.
      kernel_size: height and width of the kernels.
      fc_width: units of a hidden dense layer in both networks, 0 for none.
      bias: the layers with a bias: "all", "unnormed" (those without a norm), or "none".
      g_norm, critic_norm: see `ops.norm` and `ops.critic_norm`.
      label_mode: "concat" appends the labels at every layer of both networks (seed 002).
        "projection" appends them to the latents only, and the critic is as in `ops.score`.

    Returns:
      generator: [z [B, z_dim], (labels [B, K])] → images [B, H, W, C] in [-1, 1].
      critic: [images, (labels)] → scores [B].

    Seed 002 has kernels of 5. Its widths are (512, 256, 128, 64) and (64, 128, 256, 512) for faces,
    and (128, 128) and (11, 74) with a dense layer of 1024 for MNIST. Deviation: for MNIST, seed 002
    has a sigmoid and images in [0, 1]. Here they are in [-1, 1], with tanh. Only the scale differs.
    """
    size = (spec.height, spec.width)
    every = {"label_mode": label_mode, "fc_width": fc_width, "kernel": kernel_size, "bias": bias}
    z, labels = ops.latent_inputs(z_dim, spec.classes)
    chain, widths = ops.halvings(size, g_width[::-1], ops.generator_sizes)
    image = _generator(z, labels, chain, [spec.channels, *widths], norm=g_norm, **every)
    generator = keras.Model([z, *labels], image, name="generator")

    images, labels = ops.image_inputs(spec)
    _, widths = ops.halvings(size, d_width, ops.critic_sizes)
    score = _critic(images, labels, widths, norm=critic_norm, **every)
    return generator, keras.Model([images, *labels], score, name="critic")


def biases(bias, norm):
    """Return whether layers have a bias: (layers before a norm, layers without a norm)."""
    return bias == "all" or (bias == "unnormed" and norm == "none"), bias != "none"


def _generator(z, labels, chain, widths, *, label_mode, fc_width, kernel, bias, norm):
    """Latents [B, z_dim] → images in [-1, 1].

    `chain` (image sizes) and `widths` (channels) are listed from the image inwards.
    """
    inner = labels if label_mode == "concat" else []
    height, width = chain[-1]
    normed, last = biases(bias, norm)
    x = ops.concat_labels(z, labels)
    if fc_width:
        x = ops.relu(ops.norm(ops.dense(x, fc_width, bias=normed), norm))
        x = ops.concat_labels(x, inner)
    x = ops.dense(x, height * width * widths[-1], bias=normed)
    if fc_width:  # with a hidden layer, seed 002 has this norm before the reshape
        x = ops.norm(x, norm)
    x = keras.layers.Reshape((height, width, widths[-1]))(x)
    x = ops.relu(x if fc_width else ops.norm(x, norm))
    for size, width in zip(chain[-2:0:-1], widths[-2:0:-1]):
        x = ops.deconv(ops.concat_labels(x, inner), width, kernel, size, bias=normed)
        x = ops.relu(ops.norm(x, norm))
    x = ops.deconv(ops.concat_labels(x, inner), widths[0], kernel, chain[0], bias=last)
    return keras.layers.Activation("tanh", dtype="float32")(x)


def _critic(x, labels, widths, *, label_mode, fc_width, kernel, bias, norm):
    """Images → scores [B]. The first layer has no norm (DCGAN)."""
    inner = labels if label_mode == "concat" else []
    norm, weights = ops.critic_norm(norm)
    normed, last = biases(bias, norm)
    for i, width in enumerate(widths):
        x = ops.concat_labels(x, inner)
        x = ops.conv(x, width, kernel, bias=normed if i else last, weights=weights)
        x = ops.leaky_relu(ops.norm(x, norm if i else "none"))
    x = keras.layers.Flatten()(x)
    if fc_width:
        x = ops.dense(ops.concat_labels(x, inner), fc_width, bias=normed, weights=weights)
        x = ops.leaky_relu(ops.norm(x, norm))
    return ops.score(x, labels, label_mode, bias=last, weights=weights)


class GANTrainer(PairTrainer):
    """Trains one generator against one critic, and keeps an EMA of the generator.

    It has the members that `loop.fit` needs.

    Args:
      generator, critic, objective, …: see `PairTrainer`.
      penalty_every: penalise every k-th critic update, at k times the weight (lazy regularisation).
      penalty_fraction: fraction of the batch that is penalised, in (0, 1].
      freeze_critic: number of the critic's layers that are not trained, see `transfer.nearest`.
      decay_steps: steps over which the learning rates fall linearly to 0; 0: they stay.
      decay_after: steps after which they are divided by √(step / decay_after) (EDM2,
        2312.02696); 0: they stay.
    """

    def __init__(
        self,
        generator,
        critic,
        *args,
        batch_size,
        penalty_every=1,
        penalty_fraction=1.0,
        freeze_critic=0,
        decay_steps=0,
        decay_after=0,
        **kwargs,
    ):
        super().__init__(generator, critic, *args, batch_size=batch_size, **kwargs)
        self.penalty_every = penalty_every
        self.freeze_critic = freeze_critic
        self.frozen = transfer.nearest(critic, freeze_critic)
        self.n_penalised = losses.n_penalised(batch_size, penalty_fraction)
        half = any(layer.compute_dtype == "float16" for layer in stock.layers_of(critic))
        self.score_scale = SCORE_SCALE if half else 1.0
        # Batch norm needs separate statistics of real and of fake images.
        self.joint = not stock.batch_norms(critic)
        self.average_norms = stock.batch_norms(self.average)
        if self.jit:
            for network in (generator, *self._helpers.values()):
                fast.prepare_for_xla(network)
        self.decay_steps, self.decay_after = decay_steps, decay_after
        rates = [float(o.learning_rate.numpy()) for o in (self.g_optimizer, self.d_optimizer)]
        self.rates = tf.Variable(rates, name="rates")  # at the first step
        self.step = self._compile()

    def resume(self, generator, critic):
        """Continue from a restored checkpoint, with these learning rates before their decay."""
        super().resume(generator, critic)
        self.rates.assign([generator, critic])

    def _step(self, images, labels):
        """Do one step at the learning rates of the decay; see `TrainerBase._step`."""
        if not self.decay_steps and not self.decay_after:
            return super()._step(images, labels)
        rates, done = self.rates, tf.cast(self.count, tf.float32)
        if self.decay_steps:
            rates = rates * tf.maximum(1 - done / self.decay_steps, 0)
        if self.decay_after:
            rates = rates * tf.math.rsqrt(tf.maximum(done / self.decay_after, 1))
        self.g_optimizer.learning_rate, self.d_optimizer.learning_rate = tf.unstack(rates)
        return {**super()._step(images, labels), "learning_rate": rates[0]}

    def _copy(self, network):
        """Copy a network and its weights, for the EMA."""
        return stock.stock(network, copy=True)

    @property
    def networks(self):
        """The networks that are saved as files: name → Keras model of stock layers."""
        trained = {"critic": self.critic, **self._helpers}
        return {"generator": self.average, **{n: stock.stock(x) for n, x in trained.items()}}

    def _replica_step(self, images, labels, key):
        """Do one replica's part of a step, see `TrainerBase`.

        The generator's update reuses the last critic update's fakes, which saves a generator pass.
        """
        images, labels = (replicas.local_rows(self.strategy, x) for x in (images, labels))
        n = self._updates(images)
        hot, last = self.one_hot(labels[-1]), fold(key, n - 1)
        weights = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in weights])
            fake = self._generate(hot, last)
            with tape.stop_recording():
                terms = self.train_critic(images, labels, fake, key, n)
                real = self._to_float(images[-1], last) if self.objective.paired else None
            loss = self.generator_loss(real, fake, hot, last)
            scaled = self.g_optimizer.scale_loss(loss)
        self._apply(self.g_optimizer, tape.gradient(scaled, weights), weights)
        terms["generator_loss"] = loss
        return terms

    def generator_loss(self, real, fake, labels, key):
        """Return a replica's part of the adversarial loss. Only paired losses use `real`."""
        paired = [real] if self.objective.paired else []
        judged = self.judge([*paired, fake], labels, key, Use.GENERATOR)
        *real_scores, scores = (x.scores for x in judged)
        return self._mean(self.objective.generator_loss(*(real_scores or [None]), scores))

    def train_critic(self, images, labels, fake, key, n):
        """Do the `n` critic updates of a step, the last one on `fake`; return the mean terms."""
        names = self.critic_terms()
        sums = [tf.zeros([]) for _ in names]
        for i in tf.range(n) if tf.is_tensor(n) else range(n):
            hot, update_key = self.one_hot(labels[i]), fold(key, i)
            fakes = self._generate(hot, update_key) if i < n - 1 else fake
            terms = self.critic_step(images[i], fakes, hot, update_key)
            sums = [s + terms[t] for s, t in zip(sums, names)]
        return {t: s / tf.cast(n, s.dtype) for s, t in zip(sums, names)}

    def critic_terms(self):
        """Return the names of the terms of `critic_step`."""
        penalised = ("penalty", "gradient_norm") if self.objective.penalties else ()
        probabilities = ("d_real", "d_fake") if self.objective.logits else ()
        signs = ("sign_real",) if self.augments else ()
        auxiliary = (self.auxiliary.name,) if self.auxiliary else ()
        return ("critic_loss", self.objective.gap, *auxiliary, *penalised, *probabilities, *signs)

    def _sign_real(self, real, fake):
        """Return a replica's part of the mean sign of real scores, 1 if all images look real."""
        neutral = self.objective.neutral
        if neutral is None:
            neutral = replicas.sum_over_replicas(self._mean(real) + self._mean(fake)) / 2
        return self._mean(tf.sign(real - neutral))

    def _mean(self, values, count=None):
        """Return a replica's part of the mean over the batch, or over its first `count` images."""
        count = count or self.batch_size
        return tf.reduce_sum(replicas.mask_after(losses.per_image(values), count)) / count

    def critic_step(self, images, fake, labels, key):
        """Do one critic update; return a replica's part of each of the `critic_terms`."""
        real = self._to_float(images, key)
        terms, objective = {}, self.objective
        spectral.advance(self.critic)
        with tf.GradientTape() as tape:
            judged = self.judge([real, fake], labels, key, Use.CRITIC)
            real_scores, fake_scores = (x.scores for x in judged)
            loss = self._mean(objective.critic_loss(real_scores, fake_scores))
            if objective.drift:
                loss += objective.drift * self._mean(losses.drift(real_scores))
            if objective.penalties:
                loss += self._penalise(real, fake, labels, key)
                terms["penalty"], terms["gradient_norm"] = tf.unstack(self.parts)
            if self.auxiliary:
                own = self._auxiliary_term(judged[0], key)
                terms[self.auxiliary.name] = own
                loss += self.auxiliary.weight * own
            scaled = self.d_optimizer.scale_loss(loss)
        terms["critic_loss"] = loss
        weights = [*self.critic_weights, *self._auxiliary_weights]
        self._apply(self.d_optimizer, tape.gradient(scaled, weights), weights)
        if objective.clip:
            self._clip(self.critic_weights)
        terms[objective.gap] = self._mean(real_scores - fake_scores)
        if objective.logits:
            scores = {"d_real": real_scores, "d_fake": fake_scores}
            terms |= {name: self._mean(tf.sigmoid(s)) for name, s in scores.items()}
        if self.augments:
            terms["sign_real"] = self._sign_real(real_scores, fake_scores)
        return terms

    def _auxiliary_term(self, judged, key):
        """Return a replica's part of the mean auxiliary loss of real images, a `Judged`."""
        key = fold(key, Purpose.AUXILIARY)
        return self._mean(self.auxiliary.loss(judged.images, judged.features, key))

    def _clip(self, weights):
        for weight in weights:
            weight.assign(tf.clip_by_value(weight, *self.objective.clip))

    def _penalise(self, real, fake, labels, key):
        """Return the sum of the penalties on the batch's first images; 0 on skipped updates.

        For the log, `parts` keeps the newest sum and the gradient norm of the first penalty.
        """
        n = max(2, -(-self.n_penalised // replicas.replica_count()))
        y = [t[:n] for t in labels]

        def critic(x):
            return self.judge([x], y, key, Use.PENALTY)[0].scores

        def penalty():
            values, norms = [], []
            for i, row in enumerate(self.objective.penalties):
                points_key = fold(key, Purpose.POINTS, *([i] if i else []))
                points = row.at(real[:n], fake[:n], points_key)
                squared = losses.squared_gradient(critic, points, self.score_scale)
                values.append(self._mean(row.of(squared, **row.weights), self.n_penalised))
                norms.append(self._mean(losses.norm(squared), self.n_penalised))
            total = tf.add_n(values)
            self.parts.assign([total, norms[0]])
            return total * self.penalty_every

        if self.penalty_every == 1:
            return penalty()
        due = tf.cast(self.d_optimizer.iterations.value, tf.int64) % self.penalty_every == 0
        return tf.cond(due, penalty, lambda: tf.constant(0.0))

    def measure(self, images, labels):
        """Return more terms for the log: the gradient norm, if no penalty computes it."""
        if self.objective.penalties:
            return {}
        return self._gradient_norm(
            images[:1], labels[:1], fold(self.still, Purpose.MEASURE, self.count)
        )

    @tf.function
    def _gradient_norm(self, images, labels, key):
        terms = self.strategy.run(self._replica_gradient_norm, (images, labels, key))
        return replicas.reduce_terms(self.strategy, terms)

    def _replica_gradient_norm(self, images, labels, key):
        images, labels = (replicas.local_rows(self.strategy, x)[0] for x in (images, labels))
        real, hot = self._to_float(images, key), self.one_hot(labels)
        points = losses.interpolates(real, self._generate(hot, key), fold(key, Purpose.POINTS))
        critic = lambda x: self.judge([x], hot, key, Use.MEASURE)[0].scores  # noqa: E731
        norms = losses.norm(losses.squared_gradient(critic, points, self.score_scale))
        return {"gradient_norm": self._mean(norms)}
