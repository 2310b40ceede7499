"""The commands of the program.

A command is a function that takes a dict of the call's flags. It returns the exit status: None
means 0, and 128 + N means that signal N stopped it.
"""

from commands import compare, dry_run, evaluate, export, generate, train

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
