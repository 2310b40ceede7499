"""The trainer of PGGAN (1710.10196)."""

import dataclasses
import itertools

import keras
import tensorflow as tf

import losses
from architectures.pggan import networks
from architectures.pggan.layers import Fade
from architectures.pggan.schedule import FIRST_SIZE, GrowthSchedule, batches
from layers import equal, fast, stock, transfer
from model import GANTrainer


class PGGAN(GANTrainer):
    """`GANTrainer` for networks that grow by a `GrowthSchedule`.

    `generator`, `critic` and `average` are the networks of the current stage, and `all_stages` has
    the networks of all stages. α is a weight of the networks' `Fade` layers. Each stage has its own
    compiled step, which is created when the stage begins.

    Args:
      generator, critic: the networks of all stages, as `build_pggan` returns them.
      *args, **kwargs: see `GANTrainer`.
      batch_size: images in a batch, for stages that `batch_dict` does not name.
      penalty_fraction: fraction of the batch that is penalised.
      fade_kimg, stable_kimg: thousands of images in a fade and in a stable phase.
      final_kimg: thousands of images in the stable phase of the last stage; None for stable_kimg.
      freeze_critic (in kwargs): number of layers of the critic of the stage that training starts
        with. Later stages add layers, which are trained.
      batch_dict: batch sizes by image size, as "256:14,512:6".
    """

    from_image = False  # the layers of the first stages are the farthest from the image

    def __init__(
        self,
        generator,
        critic,
        *args,
        batch_size,
        penalty_fraction,
        fade_kimg,
        stable_kimg,
        final_kimg,
        batch_dict,
        **kwargs,
    ):
        super().__init__(generator, critic, *args, batch_size=batch_size, **kwargs)
        self.all_stages = {"generator": generator, "critic": critic, "average": self.average}
        self.penalty_fraction = penalty_fraction
        counts = batches(self.image[0], batch_size, batch_dict)
        final = None if final_kimg is None else round(1000 * final_kimg)
        times = (round(1000 * fade_kimg), round(1000 * stable_kimg))
        self.growth = GrowthSchedule(*times, counts, final)
        with tf.device("CPU"):  # the host reads it before each step
            self.stage = tf.Variable(0, name="stage")
            self.first_stage = tf.Variable(0, name="first_stage")  # of training
        self.joint = False  # `BatchDeviation` needs separate batches of real and of fake images
        self._set_stage()

    @property
    def state(self):
        """The contents of a checkpoint: name → trackable. It has the networks of all stages."""
        first = {"first_stage": self.first_stage} if self.freeze_critic else {}
        return {**super().state, **self.all_stages, "stage": self.stage, **first}

    @property
    def networks(self):
        """The current stage's networks, of stock layers, with α as a constant.

        After a fade the generator has no layers of the old side.
        """
        whole = float(self.alpha.numpy()) == 1
        generator = self._stage_generator("average", whole)
        return {"generator": stock.stock(generator), "critic": stock.stock(self.critic)}

    def _stage_generator(self, name, whole):
        return networks.stage_generator(self.all_stages[name], int(self.stage), whole=whole)

    @property
    def starters(self):
        """The files that a run can start from: name → the networks that take the weights.

        They are the networks of the current stage, as `start_from` has chosen it.
        """
        whole = self.growth.at(int(self.seen)).alpha == 1
        generators = (self._stage_generator(name, whole) for name in ("generator", "average"))
        return {"generator": tuple(generators), "critic": (self.critic,)}

    def start_from(self, saved):
        """Begin at the stage and the α of a saved generator, or at the last stage if that is less.

        Training goes on in the fade of that stage, or at the start of its stable phase. `seen` is
        the number of images that the schedule has up to there.
        """
        generator = saved["generator"]
        size = max(generator.outputs[0].shape[1:2], default=None) or FIRST_SIZE
        stage = (size // FIRST_SIZE).bit_length() - 1
        last = len(self.growth.batches) - 1
        alpha = _alpha(generator) if stage <= last else 1.0
        stage = max(0, min(stage, last))
        self.stage.assign(stage)
        self.first_stage.assign(stage)
        self.seen.assign(self.growth.start(stage, alpha))
        self._set_stage()
        size, done, end = self.critic.inputs[0].shape[1], int(self.seen), self.growth.end(last)
        return (
            f"training starts at the stage of {size}x{size} pixels, after {done / 1000:g} of the "
            f"{end / 1000:g} thousand images of the schedule"
        )

    @property
    def grows(self):
        """True before the last stage."""
        return int(self.stage) + 1 < len(self.growth.batches)

    @property
    def last(self):
        """The step at which the growth schedule ends."""
        return int(self.count) + sum(self.growth.steps(int(self.seen), self.critic_num))

    def stages(self):
        """Go to each stage that is left, and stay in it; yield its image size and updates.

        For measurements: the trainer does not follow its schedule afterwards.
        """
        counts = self.growth.steps(int(self.seen), self.critic_num)
        self.growth = dataclasses.replace(self.growth, fade=0, stable=2**40)
        for stage, updates in enumerate(counts):
            if updates:
                self.seen.assign(self.growth.start(stage, 1.0))
                self._begin_stage(stage)
                yield self.critic.inputs[0].shape[1:3], updates

    def resume(self, generator, critic):
        """Continue from a restored checkpoint, at its stage; see `PairTrainer.resume`."""
        super().resume(generator, critic)
        self._set_stage()

    def batch_spec(self, step):
        """Return (critic updates, batch size) of the next step."""
        del step
        return (self.critic_num, self.growth.at(int(self.seen)).batch)

    def _copy(self, network):
        return stock.copy_in_float32(network)

    def _set_stage(self):
        """Select the networks, the batch size and the compiled step of `stage`."""
        stage = int(self.stage)
        self.generator = networks.stage_generator(self.all_stages["generator"], stage)
        self.average = networks.stage_generator(self.all_stages["average"], stage)
        self.critic = networks.stage_critic(self.all_stages["critic"], stage)
        self.batch_size = self.growth.batches[stage]
        self.n_penalised = losses.n_penalised(self.batch_size, self.penalty_fraction)
        self.frozen = self._frozen(int(self.first_stage))
        networks_of_stage = (self.generator, self.critic, self.average)
        layers = itertools.chain(*map(stock.layers_of, networks_of_stage))
        self.alphas = [x.alpha for x in layers if isinstance(x, Fade)]
        self.fading = float(self.alpha.numpy()) < 1  # in the last step
        self.compiled = self._compiled(self._step_at_alpha, tf.TensorSpec([], tf.float32))

    def _frozen(self, stage):
        """List the frozen layers: those nearest to the image in the critic of a stage.

        The old side of the cross-fade does not count.
        """
        critic = self.all_stages["critic"]
        old = networks.stage_critic(critic, stage - 1).layers if stage else ()
        nearest = networks.stage_critic(critic, stage)
        return transfer.nearest(nearest, self.freeze_critic, without=old)

    @property
    def alpha(self):
        """The current α of the networks, a scalar tensor."""
        return self.alphas[0].value if self.alphas else tf.constant(1.0)

    def _reset_optimizers(self):
        """Reset the optimisers, as the authors' code does where a fade begins and where it ends."""
        for optimizer in (self.g_optimizer, self.d_optimizer):
            rate = float(optimizer.learning_rate.numpy())
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable))
            optimizer.learning_rate = rate
            if hasattr(optimizer, "dynamic_scale"):
                optimizer.dynamic_scale.assign(optimizer.initial_scale)

    def _begin_stage(self, stage):
        self._reset_optimizers()
        self.stage.assign(stage)
        self._set_stage()

    def _compile(self):
        return self._scheduled_step

    def _scheduled_step(self, images, labels):
        """Do one step at the stage and α of the schedule; see `TrainerBase._step`."""
        now = self.growth.at(int(self.seen))
        if now.stage != int(self.stage):
            self._begin_stage(now.stage)
        elif self.fading and now.alpha == 1:
            self._reset_optimizers()
        self.fading = now.alpha < 1
        terms = self.compiled(images, labels, tf.constant(now.alpha, tf.float32))
        where = {"stage": now.stage, "alpha": now.alpha, "kimg": int(self.seen) / 1000}
        return {**where, **terms}

    def _step_at_alpha(self, images, labels, alpha):
        for variable in self.alphas:
            variable.assign(alpha)
        return self._step(images, labels)

    def _to_float(self, images, key):
        """Convert uint8 [B, H, W, C] to float32 in [-1, 1], at the stage's size and cross-faded."""
        size = self.critic.inputs[0].shape[1]
        real = super()._to_float(_shrink(tf.cast(images, tf.float32), self.image[0] // size), key)
        if not self.alphas:
            return real
        old = fast.Up(2)(_shrink(real, 2))
        return self.alpha * real + (1 - self.alpha) * old

    def _clip(self, weights):
        """Clip the effective weights, which are the stored weights times `scale`."""
        scales = {
            id(layer.trainable_variables[0]): layer.scale
            for layer in stock.layers_of(self.critic)
            if isinstance(layer, equal.Equal)
        }
        for weight in weights:
            low, high = (bound / scales.get(id(weight), 1) for bound in self.objective.clip)
            weight.assign(tf.clip_by_value(weight, low, high))


def _shrink(images, factor):
    """Box filter: [B, H, W, C] → [B, H / factor, W / factor, C]."""
    return tf.nn.avg_pool2d(images, factor, factor, "VALID") if factor > 1 else images


def _alpha(generator):
    """Return the α of a saved generator: 1 unless it was saved in a fade."""
    for layer in generator.layers:
        if isinstance(layer, keras.layers.Rescaling):
            source = layer.input._keras_history.operation
            if isinstance(source, keras.layers.UpSampling2D):
                return 1 - float(layer.scale)
    return 1.0
