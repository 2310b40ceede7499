"""Write a trained generator in formats that other programs load."""

from commands import build, devices
from config import tables
from config.rows import import_object
from generation import export as exports


def export(given):
    """Export a trained generator and print the paths. `given` is a dict of the flags."""
    for path in export_run(*build.find(given)):
        print(path, flush=True)


def export_run(c, folder):
    """Write the generators of a run in the formats of `c.export`; return the paths.

    Runs on the CPU: images from a GPU differ by more than `generation.export.TOLERANCE`.
    """
    devices.import_tensorflow("cpu")
    formats = {
        name: exports.Format(
            row.suffix, import_object(row.writer), import_object(row.code), row.packages
        )
        for name, row in tables.EXPORTS.items()
    }
    return exports.write(
        folder,
        exports.home(folder),
        {name: formats[name] for name in c.export},
        others={name: row for name, row in formats.items() if name not in c.export},
        latents=latents_code(c.z_distribution, c.truncation),
    )


def latents_code(distribution, truncation=None):
    """Return NumPy code, as in the column `numpy` of LATENTS, that draws from `build_latents`."""
    row = tables.LATENTS[distribution]
    if truncation is None:
        return row.numpy
    return row.numpy + row.numpy_truncation.replace("{truncation}", f"{truncation:g}")
