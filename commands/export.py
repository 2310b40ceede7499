"""Write a trained generator in formats that other programs load."""

from commands import build, devices
from config import tables
from config.rows import import_object
from generation import export as exports


def export(given):
    """Write a trained generator in formats that other programs load; return the exit status."""
    for path in export_run(*build.find(given)):
        print(path, flush=True)


def export_run(c, folder):
    """Write a run's generators in the formats that a config names; return the paths.

    On the CPU: what a GPU makes differs by more than a file may.
    """
    devices.import_tensorflow("cpu")
    formats = {}
    for name in c.export:
        row = tables.EXPORTS[name]
        formats[name] = exports.Format(
            row.suffix, import_object(row.writer), import_object(row.code), row.packages
        )
    return exports.write(
        folder,
        exports.home(folder),
        formats,
        suffixes=[row.suffix for row in tables.EXPORTS.values()],
        latents=tables.LATENTS[c.z_distribution].numpy,
    )
