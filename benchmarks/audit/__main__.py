"""Compare losses, gradients, optimisers and measures with references in float64.

`pip install -r requirements-bench.txt`, then `python -m benchmarks.audit`. It prints for each case
the largest relative difference of the loss and of the parameter gradients of a critic's and of a
generator's update, for every architecture and mode; for every norm of the critic in mode gp; for
PGGAN in a fade, and for CycleGAN's whole step; and for the preset mimicry_wgan_gp_cifar10, whose
networks are written anew. Then come the optimisers, the measures, and the features of the network
of published FIDs.

Weights and images are random. Where the difference is above LIMIT, the case is repeated with other
weights: float32 and float64 can lie on two sides of the kink of a ReLU. The best of SEEDS counts,
and the line says how many it took. The exit status is 1 if a difference is above LIMIT.
"""

import argparse
import sys

LIMIT = 2e-4
SEEDS = 4


def cases(architectures, modes, norms):
    """List (architecture, mode, norm); the norms in mode gp, and None for the default."""
    found = [(arch, mode, None) for arch in architectures for mode in modes]
    return found + [(arch, "gp", norm) for arch in architectures for norm in norms]


def check(arch, mode, norm):
    """Return (differences, number of tries) of a case."""
    from benchmarks.audit import updates

    if arch == "cyclegan":
        return first_below(lambda seed: updates.check_cyclegan(mode, norm, seed))
    faded = arch == "pggan"
    return first_below(lambda seed: updates.check_pair(arch, mode, norm, faded=faded, seed=seed))


def check_mimicry():
    """Return (differences, number of tries) of the preset mimicry_wgan_gp_cifar10."""
    from benchmarks.audit import mimicry

    return first_below(mimicry.check)


def first_below(differences):
    """Call a function of seeds until no difference is above LIMIT; return (result, tries)."""
    for seed in range(SEEDS):
        found = differences(seed)
        if max(found.values()) <= LIMIT:
            break
    return found, seed + 1


def report(title, found, tries=1):
    """Print a line; return whether a difference is above the limit."""
    parts = [f"{name} {value:.1e}" for name, value in found.items()]
    again = f" (weights {tries})" if tries > 1 else ""
    print(f"{title}{again}: {', '.join(parts)}", flush=True)
    return not max(found.values()) <= LIMIT


def main(words=None):
    """Print the table; return the exit status."""
    from config import fields, tables

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", nargs="*", default=list(tables.ARCHS))
    parser.add_argument("--mode", nargs="*", default=list(tables.MODES))
    parser.add_argument("--norm", nargs="*", default=list(fields.NORMS))
    parser.add_argument("--only", choices=["updates", "numbers", "inception"])
    call = parser.parse_args(words)
    from commands import devices

    devices.import_tensorflow("cpu")
    import tensorflow as tf

    bad = 0
    if call.only in (None, "updates"):
        tf.config.run_functions_eagerly(True)
        for case in cases(call.arch, call.mode, call.norm):
            title = " ".join(word or "default norm" for word in case)
            bad += report(title, *check(*case))
        if "sngan" in call.arch:
            bad += report("the preset mimicry_wgan_gp_cifar10", *check_mimicry())
        tf.config.run_functions_eagerly(False)
    if call.only in (None, "numbers"):
        from benchmarks.audit import numbers

        for name in numbers.OPTIMIZERS:
            bad += report(name, {"ten updates": numbers.optimizer(name)})
        for name in numbers.MEASURES:
            bad += report(name, {"value": numbers.measure(name)})
    if call.only in (None, "inception"):
        from benchmarks.audit import inception

        bad += report("inception-2015", inception.check())
    print(f"{bad} above {LIMIT}")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
