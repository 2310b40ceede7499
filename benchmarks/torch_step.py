"""The same networks and updates in PyTorch, in two forms.

The usual form generates new fakes for every update, scores real and fake images in separate passes,
and penalises the whole batch. The same form does what our trainer does: it reuses the last fakes
for the generator's update, scores both in one pass if the critic has no batch norm, penalises the
same fraction of the batch, and keeps an EMA. Both forms skip the generator's gradients in the
critic's update, and the gradients of the critic's weights in the generator's. Adam is fused.
"""

import copy
import functools

import torch
from torch import nn

import losses
from benchmarks.torch_networks import AUXILIARIES, BATCH_NORMS, NETWORKS

FORMATS = {"default": torch.contiguous_format, "channels_last": torch.channels_last}
# Name of a function in losses.py → the same in PyTorch.
CRITIC_LOSSES = {
    "wasserstein_critic": lambda real, fake: fake - real,
    "hinge_critic": lambda real, fake: torch.relu(1 - real) + torch.relu(1 + fake),
    "relativistic_critic": lambda real, fake: nn.functional.softplus(fake - real),
}
GENERATOR_LOSSES = {
    "wasserstein_generator": lambda real, fake: -fake,
    "relativistic_generator": lambda real, fake: nn.functional.softplus(real - fake),
}
POINTS = {
    "interpolates": lambda real, fake, mix: mix * real + (1 - mix) * fake,
    "reals": lambda real, fake, mix: real,
    "fakes": lambda real, fake, mix: fake,
}
PENALTIES = {
    "one_centred": lambda squared, weight: weight * ((squared + 1e-12).sqrt() - 1).square(),
    "power": lambda squared, weight, power: weight * (squared + 1e-12) ** (power / 2),
    "half_square": lambda squared, weight: weight / 2 * squared,
}
OPTIMIZERS = {
    "adam": lambda p, lr, c: torch.optim.Adam(
        p, lr, betas=(c.beta1, c.beta2), eps=c.epsilon, fused=True
    ),
    "rmsprop": lambda p, lr, c: torch.optim.RMSprop(
        p, lr, alpha=c.rho, eps=c.epsilon, momentum=c.momentum
    ),
    "sgd": lambda p, lr, c: torch.optim.SGD(p, lr, momentum=c.momentum, fused=True),
}


class Trainer:
    """Trains in one of the two forms on fixed batches.

    Args:
      objective: our `losses.Objective`; its penalty and clipping are used.
      batch: (uint8 images [n, B, H, W, C], int32 labels [n, B]).
      same: True for our form, False for the usual one.
      compiled: True uses torch.compile, with torch.func for the penalty's inner gradient.
      layout: memory layout of images and weights, a key of FORMATS.
    """

    def __init__(self, c, spec, objective, batch, *, same, compiled, layout):
        torch.manual_seed(c.seed)
        self.c, self.objective, self.same, self.compiled = c, objective, same, compiled
        self._critic_loss = CRITIC_LOSSES[objective.critic_loss.__name__]
        self._generator_loss = GENERATOR_LOSSES[objective.generator_loss.__name__]
        self.format = FORMATS[layout]
        self.every = c.penalty_every if same else 1
        generator, critic = NETWORKS[c.arch]
        self.generator = generator(c, spec).to(memory_format=self.format)
        self.critic = critic(c, spec).to(memory_format=self.format)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        if same:  # use batch statistics, and leave the moving ones unchanged
            for layer in self.generator.modules():
                if isinstance(layer, BATCH_NORMS):
                    layer.track_running_stats, layer.running_mean = False, None
                    layer.running_var = layer.num_batches_tracked = None
        self.auxiliary = None
        if c.arch in AUXILIARIES and c.lambda_reconstruction:
            self.auxiliary = AUXILIARIES[c.arch](c, spec).to(memory_format=self.format)
        make = OPTIMIZERS[c.optimizer]
        judges = [self.critic, *([self.auxiliary] if self.auxiliary else [])]
        self.g_optimizer = make(self.generator.parameters(), c.learning_rate, c)
        self.d_optimizer = make([p for x in judges for p in x.parameters()], c.d_learning_rate, c)
        self.joint = same and not any(isinstance(x, BATCH_NORMS) for x in self.critic.modules())
        images, labels = map(torch.from_numpy, batch)
        self.images = [x.permute(0, 3, 1, 2).contiguous(memory_format=self.format) for x in images]
        hot = nn.functional.one_hot(labels.long(), spec.classes or 1).float()
        self.labels = list(hot) if spec.classes else [None] * len(images)
        self.counts = [0, 0]
        wrap = functools.partial(torch.compile, dynamic=False) if compiled else lambda f: f
        self.generate, self.judge = wrap(self.generator), wrap(self.critic)
        self.losses = {count: wrap(self._loss(count)) for count in (0, self._n_penalised())}

    def _n_penalised(self):
        """Return the number of penalised images."""
        fraction = self.c.penalty_fraction if self.same else 1
        count = losses.n_penalised(self.c.batch_size, fraction)
        return count if self.objective.penalties else 0

    def _latents(self):
        shape = (self.c.batch_size, self.c.z_dim)
        normal = self.c.z_distribution == "normal"
        return torch.randn(shape) if normal else torch.rand(shape) * 2 - 1

    def _real(self, images):
        if self.c.mirror:
            flip = torch.rand(len(images), 1, 1, 1) < 0.5
            images = torch.where(flip, images.flip(3), images)
        return images.float() / 127.5 - 1

    def _loss(self, count):
        """Return the critic's loss: (real, fake, labels or None, mix [count, 1, 1, 1]) → scalar."""

        def loss(real, fake, labels, mix):
            real_scores, fake_scores, total = self._scores(real, fake, labels)
            total = total + self._critic_loss(real_scores, fake_scores).mean()
            for row in self.objective.penalties if count else ():
                points = POINTS[row.at.__name__](real[:count], fake[:count], mix)
                y = None if labels is None else labels[:count]
                total = total + self.every * self._penalty(row, points, y)
            return total

        return loss

    def _scores(self, real, fake, labels):
        """Return the scores of real and of fake images, and the auxiliary loss or 0."""
        if self.joint:
            both = None if labels is None else torch.cat([labels, labels])
            return *self.critic(torch.cat([real, fake]), both).chunk(2), 0
        scores, own = self.critic(real, labels), 0
        if self.auxiliary:
            own = self.c.lambda_reconstruction * self.auxiliary(real, self.critic.features)
        return scores, self.critic(fake, labels), own

    def _penalty(self, row, points, labels):
        if self.compiled:
            scores, pull = torch.func.vjp(lambda x: self.critic(x, labels), points)
            gradient = pull(torch.ones_like(scores))[0]
        else:
            points = points.detach().requires_grad_(True)
            scores = self.critic(points, labels)
            gradient = torch.autograd.grad(scores.sum(), points, create_graph=True)[0]
        squared = gradient.square().sum((1, 2, 3))
        return PENALTIES[row.of.__name__](squared, **row.weights).mean()

    def _critic_update(self, i, fake):
        count = self._n_penalised() if self.counts[1] % self.every == 0 else 0
        mix = torch.rand(count, 1, 1, 1)
        loss = self.losses[count](self._real(self.images[i]), fake, self.labels[i], mix)
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        self.counts[1] += 1
        if self.objective.clip:
            with torch.no_grad():
                for weight in self.critic.parameters():
                    weight.clamp_(*self.objective.clip)

    def step(self):
        """Do all critic updates and one generator update."""
        last = len(self.images) - 1
        for i, labels in enumerate(self.labels):
            with torch.set_grad_enabled(self.same and i == last):
                fake = self.generate(self._latents(), labels)
            self._critic_update(i, fake.detach())
        if not self.same:
            fake = self.generate(self._latents(), labels)
        self.critic.requires_grad_(False)
        real = None
        if self.objective.paired:
            with torch.no_grad():
                real = self.judge(self._real(self.images[last]), labels)
        loss = self._generator_loss(real, self.judge(fake, labels)).mean()
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        self.counts[0] += 1
        self.critic.requires_grad_(True)
        if self.same:
            keep = min(self.c.ema, (1 + self.counts[0]) / (10 + self.counts[0]))
            pairs = list(self.average.parameters()), list(self.generator.parameters())
            with torch.no_grad():
                torch._foreach_lerp_(*pairs, 1 - keep)

    def run(self, steps):
        """Do `steps` steps."""
        for _ in range(steps):
            self.step()

    def weights_by_network(self):
        """Return {"generator": list of trainable arrays, "critic": …}."""
        networks = {"generator": self.generator, "critic": self.critic}
        return {n: [p.detach().numpy().copy() for p in x.parameters()] for n, x in networks.items()}

    def updates(self):
        """Return the number of updates of (the generator, the critic)."""
        return tuple(self.counts)
