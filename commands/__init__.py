"""The commands of the program.

A command is a function that takes a dict of the call's flags. It returns the exit status: None
means 0, and 128 + N means that signal N stopped it.
"""

import os
from pathlib import Path

from commands import compare, dry_run, evaluate, export, generate, train
from config import tables
from config.resolve import resolve
from config.values import did_you_mean
from runs import trained

# Flag → command. The first flag that is set wins, so that --dry_run --train does not train. A call
# without these flags makes pictures: `commands.generate`.
COMMANDS = {
    "list": generate.list_runs,
    "dry_run": dry_run.dry_run,
    "compare": compare.compare,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "dump_reals": evaluate.dump,
    "export": export.export,
    "serve": generate.serve,
}
# These stop on a signal, with status 128 + its number, and continue if nobody reads their output.
LASTING = ("compare", "train", "serve")


def suggest(given):
    """Return " (did you mean --FLAG NAME?)" for a data set or a run that does not exist, or "".

    Args:
      given: dict of the flags of a call that has failed.
    """
    c = resolve(given, check=False)
    runs = [path.name for top in (c.checkpoint_dir, trained.shipped_dir()) for path in _sorted(top)]
    sets = [*tables.DATASETS, *(path.name for path in _sorted(c.data_dir) if path.name[0] != ".")]
    trains = c.train or c.compare  # and gives a new run a name
    for flag, names in (("init_from", runs), ("name", runs), ("dataset", sets)):
        word = None if flag == "name" and trains else given.get(flag)
        is_path = word is None or os.path.basename(word) != word or os.path.exists(word)
        if not is_path and word not in names and (hint := did_you_mean(word, names, f"--{flag} ")):
            return hint
    return ""


def _sorted(folder):
    """Return the paths in a folder; [] if it cannot be read."""
    try:
        return sorted(Path(folder).iterdir())
    except OSError:
        return []
