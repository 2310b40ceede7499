"""The commands of a call.

A command is a function of a dict of the flags of the call. It returns the exit status; None is 0.
"""

from commands.compare import compare
from commands.dry_run import dry_run
from commands.evaluate import evaluate
from commands.export import export
from commands.train import train

# Flag → command. The first flag that is set wins, so that --dry_run --train does not train. A call
# without these flags makes pictures: `commands.generate`.
COMMANDS = {
    "dry_run": dry_run,
    "compare": compare,
    "train": train,
    "evaluate": evaluate,
    "export": export,
}
