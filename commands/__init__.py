"""What a call can do. Each command takes the flags given and returns the exit status, or None."""

from commands import compare, dry_run, evaluate, export, train

# By the flag that asks for it. The first of them that is given is carried out: a dry run goes
# before the command that it is a run of. A call without any of them makes pictures, by
# `commands.generate`.
COMMANDS = {
    "dry_run": dry_run.dry_run,
    "compare": compare.compare,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "export": export.export,
}
