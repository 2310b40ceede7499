"""The traffic between replicas in a train step, and a model of the scaling efficiency.

`python -m benchmarks.scaling` traces the step of each DCGAN that ships for two replicas, and counts
the bytes of the all-reduces in its graph. The multiply-adds are counted by `benchmarks.step`. No
step is run. With N replicas of `--batch` images each, the model is

    compute  = 2 · multiply-adds / (TFLOP/s)
    exchange = sum over the all-reduces, of S bytes each, of
               2 · log2(N) · latency + 2 · (N - 1) / N · S / bandwidth
    efficiency = compute / (compute + exchange)

It assumes that nothing overlaps. Up to `--inside` replicas are in one machine. More replicas are in
several machines, with the bandwidth and latency of the network between them.
"""

import argparse
import dataclasses
import json
import math

from benchmarks import limit, timing
from commands import build, devices
from config import saved as saved_config
from config.resolve import resolve
from datasets import packed as packing
from runs import trained


@dataclasses.dataclass(frozen=True)
class Machine:
    """The assumed machine.

    Attributes:
      flops: sustained FLOP/s of a GPU.
      bandwidth: bytes a second.
      latency: seconds of a message.
    """

    flops: float
    bandwidth: float
    latency: float


def exchanged(graph):
    """List the bytes of each all-reduce of one replica in a traced step."""
    found = []
    for operation in graph.get_operations():
        if operation.type == "CollectiveReduceV2" and operation.device.endswith("CPU:0"):
            value = operation.inputs[0]
            found.append(value.shape.num_elements() * value.dtype.size)
    return found


def reduce_seconds(size, count, machine):
    """Return the seconds of one all-reduce of `size` bytes between `count` replicas."""
    waits = 2 * math.log2(count) * machine.latency
    return waits + 2 * (count - 1) / count * size / machine.bandwidth


def efficiency(products, sizes, count, machine):
    """Return the fraction of the time in which `count` replicas compute."""
    compute = 2 * products / machine.flops
    return compute / (compute + sum(reduce_seconds(size, count, machine) for size in sizes))


def two_replicas():
    """Return a strategy of two CPU replicas, whose graphs have all-reduces."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def measure(c, spec, strategy, batch):
    """Measure one replica's step of `batch` images.

    Returns:
      (parameters of the generator, parameters of the critic, multiply-adds, bytes of each
      all-reduce).
    """
    import numpy as np

    c = dataclasses.replace(c, batch_size=2 * batch, jit=False)  # XLA is for one replica
    trainer = build.build_trainer(c, spec, strategy=strategy)
    shape = trainer.batch_spec(0)
    images = np.zeros((*shape, *trainer.image), np.uint8)
    graph = trainer.step.get_concrete_function(images, np.zeros(shape, np.int32)).graph
    counts = [
        sum(int(np.prod(w.shape)) for w in network.trainable_variables)
        for network in (trainer.generator, trainer.critic)
    ]
    return *counts, limit.own_products(trainer) / 2, exchanged(graph)


def rows(runs, strategy, call):
    """Yield the table's rows, one for each run and batch size."""
    inside = Machine(call.tflops * 1e12, call.nvlink * 1e9, call.hop * 1e-6)
    between = Machine(call.tflops * 1e12, call.network * 1e9, call.message * 1e-6)
    for run in runs:
        saved = saved_config.read_saved(run / "config.json")
        c = resolve({}, saved)
        spec = packing.ImageSpec(**json.loads((run / "config.json").read_text())["data"])
        for batch in call.batch:
            timing.log(f"{run.name}, {batch} images on each")
            generator, critic, products, sizes = measure(c, spec, strategy, batch)
            cells = [run.name, batch, f"{generator:,}", f"{critic:,}", f"{products / 1e9:.3g}"]
            cells += [len(sizes), f"{sum(sizes) / 1e6:.3g}"]
            cells.append(f"{2000 * products / inside.flops:.3g}")
            for count in call.replicas:
                machine = inside if count <= call.inside else between
                cells.append(f"{100 * efficiency(products, sizes, count, machine):.0f} %")
            yield cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[64, 512], help="images on each replica"
    )
    parser.add_argument("--replicas", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--inside", type=int, default=8, help="GPUs in a machine")
    parser.add_argument("--tflops", type=float, default=10, help="sustained by a GPU")
    parser.add_argument("--nvlink", type=float, default=200, help="GB/s inside a machine")
    parser.add_argument("--network", type=float, default=12.5, help="GB/s between machines")
    parser.add_argument("--hop", type=float, default=5, help="µs of a message inside a machine")
    parser.add_argument(
        "--message", type=float, default=20, help="µs of a message between machines"
    )
    call = parser.parse_args()
    devices.import_tensorflow("cpu")
    import tensorflow as tf

    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one] * 2)
    runs = sorted(path.parent for path in trained.PRETRAINED.glob("*/config.json"))
    runs = [r for r in runs if saved_config.read_saved(r / "config.json")["arch"] == "dcgan"]
    header = ["run", "images on each", "generator", "critic", "10⁹ multiply-adds"]
    header += ["all-reduces", "MB", "compute, ms", *(f"on {n}" for n in call.replicas)]
    print(timing.table(header, rows(runs, two_replicas(), call)))


if __name__ == "__main__":
    main()
