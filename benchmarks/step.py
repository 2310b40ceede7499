"""The time of a train step: ours, Keras tutorials', PyTorch's, and the machine's limit.

`python -m benchmarks.step` times one step (`critic_num` updates of the critic and one of the
generator) on a fixed random batch, for each case and mode, with the defaults of our flags, but in
float32 on every CPU. All competitors train the same networks with the same optimisers. A ratio is a
competitor's time over ours in the same round; the table has its median over the rounds, with
minimum and maximum. `--competitors` takes names of COMPETITORS. PyTorch's need
requirements-bench.txt. Run nothing else on the machine meanwhile.
"""

import argparse
import dataclasses
import functools
import gc
import time

import numpy as np

import console
from benchmarks import limit, timing
from commands import build, devices
from config import flags
from config.resolve import resolve, settle
from datasets import packed as packing

# Name → (changes to the defaults, channels of the images, classes).
CASES = {
    "mnist": ({"dataset": "mnist"}, 1, 10),
    "faces": ({"dataset": "faces"}, 3, 0),
    "resnet": ({"dataset": "photos", "arch": "resnet", "batch_size": 4}, 3, 0),
    # Without augmentation, which PyTorch's trainer does not have.
    "fastgan": ({"dataset": "photos", "arch": "fastgan", "augment": ("none",)}, 3, 0),
    "fastgan_hinge": ({"dataset": "photos", "preset": "fastgan_hinge", "augment": ("none",)}, 3, 0),
}
MODES = ("gp", "regular", "div", "hinge", "rpgan")
LAYOUTS = ("default", "channels_last")


def settings(case, flags):
    """Return (Config, ImageSpec) of a case. `flags` override its settings."""
    given, channels, classes = CASES[case]
    c = settle(resolve({**given, **flags}), channels, 60_000)
    spec = (c.output_height, c.output_width, channels, 60_000, classes if c.conditional else 0)
    return c, packing.ImageSpec(*spec)


def random_batch(c, spec):
    """Return a random batch of one step: (uint8 images [n, B, H, W, C], int32 labels [n, B])."""
    rng = np.random.default_rng(c.seed)
    shape = (c.critic_num, c.batch_size)
    image = (spec.height, spec.width, spec.channels)
    images = rng.integers(0, 256, (*shape, *image), dtype=np.uint8)
    return images, rng.integers(0, max(spec.classes, 1), shape, dtype=np.int32)


# ---- the competitors: functions (c, spec, batch, seconds) → (run(steps), trainer) ------------


class Ours:
    """Our trainer, with the members that the tests use on all competitors."""

    def __init__(self, c, spec, batch):
        self.trainer, self.batch = build.build_trainer(c, spec), batch

    def run(self, steps):
        """Do `steps` steps, as `loop.fit` does, and wait for their end."""
        for _ in range(steps):
            terms = self.trainer.step(*self.batch)
        float(terms["generator_loss"])

    def weights_by_network(self):
        """Return {"generator": list of trainable arrays, "critic": …}."""
        networks = {"generator": self.trainer.generator, "critic": self.trainer.critic}
        return {n: [w.numpy() for w in x.trainable_variables] for n, x in networks.items()}

    def updates(self):
        """Return the number of updates of (the generator, the critic)."""
        optimizers = (self.trainer.g_optimizer, self.trainer.d_optimizer)
        return tuple(int(o.iterations) for o in optimizers)


def _ours(c, spec, batch, seconds):
    ours = Ours(c, spec, batch)
    return ours.run, ours


def _in_bfloat16(c, spec, batch, seconds):
    return _ours(dataclasses.replace(c, precision="bfloat16"), spec, batch, seconds)


def _tutorial(c, spec, batch, seconds, jit):
    from benchmarks import keras_step

    return keras_step.fit(c, spec, batch, jit)


def _plain(c, spec, batch, seconds):
    from benchmarks import keras_step

    return keras_step.plain(c, spec, batch)


def _torch(c, spec, batch, seconds, same, compiled):
    """Build PyTorch in the faster memory layout, or in the first one if `seconds` is 0."""
    import torch

    from benchmarks import torch_step

    torch.set_num_threads(timing.cores())
    objective = build.build_objective(c.mode, vars(c))
    options = {"same": same, "compiled": compiled}
    found = []
    for layout in LAYOUTS if seconds else LAYOUTS[:1]:
        trainer = torch_step.Trainer(c, spec, objective, batch, layout=layout, **options)
        found.append((timing.per_step(trainer.run, seconds)(), layout, trainer))
    _, layout, trainer = min(found, key=lambda entry: entry[0])
    timing.log(f"  {layout} layout")
    return trainer.run, trainer


COMPETITORS = {
    "ours": _ours,
    "ours-bfloat16": _in_bfloat16,
    "fit": functools.partial(_tutorial, jit="auto"),
    "fit-without-xla": functools.partial(_tutorial, jit=False),
    "plain": _plain,
    "torch": functools.partial(_torch, same=False, compiled=False),
    "torch-same": functools.partial(_torch, same=True, compiled=False),
    "torch-compiled": functools.partial(_torch, same=False, compiled=True),
    "torch-same-compiled": functools.partial(_torch, same=True, compiled=True),
}
MEANING = {
    "ours": "this project",
    "ours-bfloat16": "this project in bfloat16",
    "fit": "Keras tutorial: train_step, compile and fit (XLA, as by default)",
    "fit-without-xla": "the same with jit_compile=False",
    "plain": "Keras: a tf.function for each update",
    "torch": "PyTorch, as usually written",
    "torch-same": "PyTorch, exactly our form",
    "torch-compiled": "PyTorch, as usually written, compiled",
    "torch-same-compiled": "PyTorch, exactly our form, compiled",
}


def parameters(trained):
    """Return the number of trainable parameters: {"generator": …, "critic": …}."""
    return {n: sum(w.size for w in x) for n, x in trained.weights_by_network().items()}


# ---- the program --------------------------------------------------------------------------------


def build_competitors(names, c, spec, batch, seconds):
    """Build competitors, and check that all have the same number of parameters.

    Returns:
      ({name: (run, trainer)}, {name: the reason why it is missing}).
    """
    built, missing = {}, {}
    for name in names:
        timing.log(f"{c.run_name}: building {name}")
        try:
            built[name] = COMPETITORS[name](c, spec, batch, seconds)
        except ImportError as error:
            missing[name] = f"not installed: {error.name}"
        except Exception as error:
            if "compiled" not in name:
                raise
            missing[name] = why_not_compiled(error)
    counts = {name: parameters(trained) for name, (_, trained) in built.items()}
    wrong = [name for name, count in counts.items() if count != counts[names[0]]]
    if wrong:
        raise console.Failed(f"networks with other parameter counts than ours: {wrong}, {counts}")
    return built, missing


def why_not_compiled(error):
    """Return a short reason for a failure of torch.compile."""
    text = f"{type(error).__name__}: {error}"
    if "InvalidCxxCompiler" in text or "No working C++ compiler" in text:
        return "no compiler"
    return console.first_line(text)


def measure(names, c, spec, rounds, seconds):
    """Time a case's competitors; return the rows of its table."""
    batch = random_batch(c, spec)
    built, missing = build_competitors(names, c, spec, batch, min(seconds, 2))
    measures = {"matmul": timing.per_step(limit.build_matmul(limit.MATRIX), min(seconds, 1))}
    measures |= {name: timing.per_step(run, seconds) for name, (run, _) in built.items()}
    found = timing.interleave(measures, rounds)
    rate = limit.MATRIX**3 / min(found.pop("matmul"))
    count = limit.own_products(built["ours"][1].trainer)
    label = [c.run_name, c.mode]
    rows = [
        [*label, MEANING[n], timing.ms_cell(found[n]), timing.ratio_cell(found[n], found["ours"])]
        for n in built
    ]
    rows += [[*label, MEANING[name], "-", why] for name, why in missing.items()]
    share = count / rate / np.median(found["ours"])
    ideal = f"the limit: {count / 1e9:.3g} G multiply-adds at {rate / 1e9:.3g} G/s"
    return [*rows, [*label, ideal, f"{1000 * count / rate:.4g}", f"{share:.2f} of the limit"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES[:3]))
    parser.add_argument("--competitors", nargs="+", choices=COMPETITORS, default=list(COMPETITORS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5, help="for each competitor in a round")
    parser.add_argument("--set", nargs="+", default=[], metavar="FLAG=VALUE", help="our flags")
    parser.add_argument(
        "--quick", action="store_true", help="two rounds of one step, as a smoke test"
    )
    call = parser.parse_args()
    rounds, seconds = (2, 0) if call.quick else (call.rounds, call.seconds)
    names = list(dict.fromkeys(["ours", *call.competitors]))
    given = flags.parse_flags(["step", *(f"--{word}" for word in call.set)])
    devices.import_tensorflow("cpu")
    begun, rows = time.monotonic(), []
    for case in call.cases:
        for mode in call.modes:
            c, spec = settings(case, {"mode": mode, **given})
            rows += measure(names, c, spec, rounds, seconds)
            gc.collect()
            timing.log(f"{(time.monotonic() - begun) / 60:.1f} minutes")
    print(timing.table(["run", "mode", "what", "ms", "times ours"], rows))


if __name__ == "__main__":
    main()
