"""What a call can do. Each command takes the flags given and returns the exit status, or None."""

from commands.compare import compare
from commands.dry_run import dry_run
from commands.evaluate import evaluate
from commands.export import export
from commands.train import train

# By the flag that asks for it, the first one wins: a dry run goes before what it is a run of.
# A call without any of them makes pictures: `commands.generate`.
COMMANDS = {
    "dry_run": dry_run,
    "compare": compare,
    "train": train,
    "evaluate": evaluate,
    "export": export,
}
