"""The speed of packing and batching, relative to the fastest train step.

`python -m benchmarks.loader` packs a folder of JPEGs as `--dataset faces` does, and takes batches
of the packed array and of an array of MNIST's size. The folder is `--folder`, or 2,000 generated
JPEGs of 96x96 pixels. The train steps of all MODES are timed in the same run, and the fastest one
is compared. The loader must deliver at least TARGET times as many images a second as that step
takes.
"""

import argparse
import contextlib
import io
import shutil
import statistics
import tempfile
import time

import numpy as np
from PIL import Image

import utils
from benchmarks import step, timing
from commands import devices, sources
from config.resolve import resolve
from datasets.packed import Batches

TARGET = 20


def draw_pictures(folder, count, side=96, seed=0):
    """Write JPEGs of coloured clouds with noise. The same seed gives the same pictures."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        clouds = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        pixels = np.asarray(clouds.resize((side, side), Image.Resampling.BICUBIC), np.int16)
        pixels = pixels + rng.integers(-12, 13, pixels.shape)
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{i:05}.jpg", quality=90)


def pack(folder, cache):
    """Pack a folder on all cores, with the settings of faces; return (seconds, packed set)."""
    shutil.rmtree(cache, ignore_errors=True)
    given = {"output_height": step.settings("faces", {})[0].output_height, "cache_dir": str(cache)}
    c = resolve({"dataset": str(folder), **given})
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        data = sources.load_data(c)
    return time.perf_counter() - begun, data


def mapped(path, shape):
    """Return a memory-mapped uint8 array of noise, like a packed set."""
    np.save(path, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    return np.load(path, mmap_mode="r")


def build_taker(images, c):
    """Return a function `run(n)` that takes the images of n steps."""
    batches = Batches(images, np.zeros(len(images), np.int32), seed=c.seed)
    shape, position = (c.critic_num, c.batch_size), [0]

    def run(steps):
        for _ in range(steps):
            batches.take(position[0], shape)
            position[0] += shape[0] * shape[1]

    return run


def measure(case, images, rounds, seconds):
    """Return a case's table rows: images a second of each mode's step, and of the loader."""
    measures, eaten = {}, {}
    for mode in step.MODES:
        c, spec = step.settings(case, {"mode": mode})
        eaten[mode] = c.critic_num * c.batch_size
        ours = step.Ours(c, spec, step.random_batch(c, spec))
        measures[mode] = timing.per_step(ours.run, seconds)
        # The loader takes batches of this mode's shape, for a comparison with its step.
        measures["take " + mode] = timing.per_step(build_taker(images, c), seconds)
    found = timing.interleave(measures, rounds)
    speeds = {mode: eaten[mode] / statistics.median(found[mode]) for mode in eaten}
    fastest = max(speeds, key=speeds.get)
    ratio = timing.ratio_cell(found[fastest], found["take " + fastest])
    taken = eaten[fastest] / statistics.median(found["take " + fastest])
    rows = [[case, f"train step, {mode}", f"{speed:.0f}", "-"] for mode, speed in speeds.items()]
    return [*rows, [case, f"Batches.take, beside {fastest}", f"{taken:.0f}", ratio]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="images to pack; by default they are generated")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3, help="for each measurement in a round")
    parser.add_argument(
        "--quick", action="store_true", help="200 images and one step, as a smoke test"
    )
    call = parser.parse_args()
    rounds, seconds = (2, 0) if call.quick else (call.rounds, call.seconds)
    devices.import_tensorflow("cpu")
    with tempfile.TemporaryDirectory() as temporary:
        home = utils.Path(temporary)
        folder = utils.Path(call.folder or home / "pictures")
        if not call.folder:
            folder.mkdir()
            draw_pictures(folder, 200 if call.quick else 2000)
        packings = [pack(folder, home / "cache") for _ in range(rounds)]
        images = packings[-1][1].images
        spent = statistics.median(seconds for seconds, _ in packings)
        rows = [["faces", f"packing on {timing.cores()} cores", f"{len(images) / spent:.0f}", "-"]]
        rows += measure("faces", images, rounds, seconds)
        rows += measure("mnist", mapped(home / "mnist.npy", (60_000, 28, 28, 1)), rounds, seconds)
    print(timing.table(["images", "what", "images/s", "times the fastest step"], rows))
    print(f"\nThe last column must be at least {TARGET}.")


if __name__ == "__main__":
    main()
