"""Measure how far directions in the latents change the pixels, beside random directions.

`python -m benchmarks.directions mnist faces faces_16_32_32_pggan` prints a row for each run: the
mean absolute difference of the pixels, of 255, when latents are moved both ways along each of the
first directions of `--directions`, their mean, and the mean and the largest of random directions of
the same length. The images have their own labels, and the strength is that of `--move`.
"""

import argparse

import numpy as np


def differences(sampler, base, vectors, strength):
    """Return how far the pixels change along each direction, float [N].

    Args:
      sampler: a `generation.sample.Sampler`.
      base: latents [B, Z] of the images; their labels are 0, 1, … in turn.
      vectors: directions [N, Z] of length 1.
      strength: how far to move, in both ways.
    """
    from steering.directions import move

    still = sampler.images(base).astype(float)
    found = []
    for vector in vectors:
        ways = [move(base, s * vector, sampler.bound) for s in (-strength, strength)]
        found.append(np.mean([np.abs(sampler.images(z) - still).mean() for z in ways]))
    return np.array(found)


def random_directions(count, length, seed=0):
    """Return random unit vectors, float32 [count, length]."""
    rows = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def row(run, call):
    """Return the line of a run."""
    from generation import load

    g = load(run)
    sampler = g.sampler(call.images)
    base = sampler.z(0)
    found = differences(sampler, base, g.directions(call.directions), call.strength)
    others = random_directions(call.random, base.shape[1])
    others = differences(sampler, base, others, call.strength)
    numbers = " ".join(f"{value:.1f}" for value in found)
    return (
        f"{g.folder.name}: directions {numbers}, mean {found.mean():.1f}; {call.random} random "
        f"ones: mean {others.mean():.1f}, largest {others.max():.1f}"
    )


def main():
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", help="names as `generation.load` takes them")
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--random", type=int, default=100, help="number of random directions")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--strength", type=float, default=1.0)
    call = parser.parse_args()
    for run in call.runs:
        print(row(run, call), flush=True)


if __name__ == "__main__":
    main()
