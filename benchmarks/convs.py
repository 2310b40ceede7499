"""The speed of convolutions and dense layers, relative to the machine's matrix product.

`python -m benchmarks.convs` times each convolution and dense layer of a case's networks: its
forward pass, the gradient of its inputs, and the gradient of its weights. It prints the speeds as
fractions of the machine's matrix-multiply rate. It also prints the fraction of the limit
(`benchmarks.step`) that a step of these operations alone would reach, without norms, activations,
optimisers and EMA. Run nothing else on the machine meanwhile.
"""

import argparse
import functools

import numpy as np

from benchmarks import limit, step, timing
from commands import build, devices
from config import flags

PASSES = ("forward", "inputs", "weights")


def layers_of(network):
    """List (layer, input shape, multiply-adds of a sample, whether it is the first layer)."""
    found = []
    for layer in network.layers:
        if count := limit.layer_products(layer):
            found.append((layer, layer.input.shape[1:], count, not found))
    return found


def calls(network, *, penalised):
    """Return how often a step of mode gp runs each pass of a layer, in batches.

    Args:
      network: "generator" or "critic".
      penalised: fraction of the batch; see `limit.step_products`.

    Returns:
      {pass: (times for the first layer, times for other layers)}.
    """
    if network == "generator":
        return {"forward": (1, 1), "inputs": (0, 1), "weights": (1, 1)}
    q = penalised
    return {"forward": (3 + 2 * q, 3 + 2 * q), "inputs": (1 + q, 3 + q), "weights": (2 + q, 2 + q)}


def build_passes(layer, shape, batch):
    """Return {pass: function `run(n)`} of a layer on a random batch."""
    import tensorflow as tf

    shapes = ([batch, *shape], [batch, *layer.output.shape[1:]])
    x, g = (
        tf.cast(tf.random.stateless_normal(s, [0, i]), layer.compute_dtype)
        for i, s in enumerate(shapes, 1)
    )

    @tf.function
    def forward():
        return layer(x)

    @tf.function
    def gradient(weights):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            source = layer.kernel.value if weights else x
            tape.watch(source)
            total = tf.reduce_sum(layer(x) * g)
        return tape.gradient(total, source)

    def run(times, function):
        for _ in range(times):
            y = function()
        float(y[(0,) * len(y.shape)])

    each = (forward, functools.partial(gradient, False), functools.partial(gradient, True))
    return {name: functools.partial(run, function=f) for name, f in zip(PASSES, each)}


def measure(case, flags, rounds, seconds):
    """Return (a table row for each layer, the fraction of the limit that all layers reach)."""
    c, spec = step.settings(case, {"mode": "gp", **flags})
    trainer = build.build_trainer(c, spec)
    matmul = timing.per_step(limit.build_matmul(limit.MATRIX), 1)
    rows, least, spent = [], 0, 0
    for name in ("generator", "critic"):
        often = calls(name, penalised=trainer.n_penalised / c.batch_size)
        for layer, shape, count, first in layers_of(getattr(trainer, name)):
            runs = build_passes(layer, shape, c.batch_size)
            measures = {"limit": matmul}
            measures |= {p: timing.per_step(run, seconds) for p, run in runs.items()}
            found = timing.interleave(measures, rounds)
            one = c.batch_size * count * min(found["limit"]) / limit.MATRIX**3
            shares = [one / np.median(found[p]) for p in PASSES]
            size = "x".join(map(str, shape))
            rows.append([name, layer.name, size, *(f"{share:.2f}" for share in shares)])
            times = [often[p][0 if first else 1] for p in PASSES]
            least += one * sum(times)
            spent += sum(n * np.median(found[p]) for n, p in zip(times, PASSES))
    return rows, least / spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=step.CASES, default="faces")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each pass in a round")
    parser.add_argument("--set", nargs="+", default=[], metavar="FLAG=VALUE", help="our flags")
    parser.add_argument(
        "--quick", action="store_true", help="one round of one call, as a smoke test"
    )
    call = parser.parse_args()
    rounds, seconds = (1, 0) if call.quick else (call.rounds, call.seconds)
    given = flags.parse_flags(["convs", *(f"--{word}" for word in call.set)])
    devices.import_tensorflow("cpu")
    rows, share = measure(call.case, given, rounds, seconds)
    print(timing.table(["network", "layer", "inputs", *PASSES], rows))
    print(f"\na step of these operations alone: {share:.2f} of the limit")


if __name__ == "__main__":
    main()
