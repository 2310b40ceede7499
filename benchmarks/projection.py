"""Measure how near projections come to a generator's own samples, and to photos.

`python -m benchmarks.projection mnist faces_64_48_48 faces_16_32_32_pggan` prints a row for each
run: the PSNR of the projections of its own samples, whose latents have another seed than those that
the search starts from, and the seconds that a sample took. `--photos 16` also projects the first
images of the data set, whose class is not given.
"""

import argparse
import time

import numpy as np


def photos(g, count, data_dir):
    """Return the first images of the data set of a `Generator`, uint8 [count, H, W, C]."""
    from commands import sources
    from config.resolve import resolve

    c = resolve({"data_dir": data_dir}, g.settings)
    return sources.load_data(c).images[:count]


def row(name, g, images, steps):
    """Return the line of a run: the PSNR of the projections of images."""
    start = time.monotonic()
    found = g.project(images, **({"steps": steps} if steps else {}))
    seconds = (time.monotonic() - start) / len(images)
    low, middle, high = found.psnr.min(), np.median(found.psnr), found.psnr.max()
    lengths = np.linalg.norm(found.latents, axis=1).mean()
    return (
        f"{g.folder.name}: {len(images)} {name}: PSNR {low:.1f} to {high:.1f} dB, median "
        f"{middle:.1f}, {np.mean(found.psnr > 30):.0%} over 30; {seconds:.1f} s each; mean length "
        f"of the latents {lengths:.1f}"
    )


def main():
    """Print a line or two for each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", help="names as `generation.load` takes them")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--photos", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None, help="updates; those of --project")
    parser.add_argument("--data_dir", default="data")
    call = parser.parse_args()
    from generation import load

    for run in call.runs:
        g = load(run)
        if call.samples:
            print(row("own samples", g, g.sample(call.samples, seed=7), call.steps), flush=True)
        if call.photos:
            real = photos(g, call.photos, call.data_dir)
            print(row("photos", g, real, call.steps), flush=True)


if __name__ == "__main__":
    main()
