"""Check the final graphs of train steps for races between reads and writes of a variable.

`python -m benchmarks.races` builds a small trainer for each architecture, mode and strategy, and
for each norm and penalty in mode gp, and runs a step. PGGAN is in the fade of its second stage. In
the graph after TensorFlow's optimisations, it searches for pairs of operations on the same
variable, at least one of them a write, that no path of edges orders. A read in such a pair sees
the old or the new value, at random. The program prints the number of pairs for each trainer, and
exits with status 1 if there are any.

`--all` has all combinations of mode, penalty and norm, which takes hours. Two processes have the
graph of `mirrored`, and communication between them.
"""

import argparse
import graphlib
import itertools
import sys

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context  # the public API has no run metadata

from commands import build, devices
from config import fields, tables
from config.resolve import resolve, settle
from datasets.packed import ImageSpec
from training import replicas

READS = {"ReadVariableOp", "ResourceGather"}
SMALL = {  # the fields of tiny networks; an architecture takes those that it has
    "g_width": (4,),
    "d_width": (4,),
    "z_dim": 4,
    "n_residual_blocks": 1,
    "max_res": 8,
    "fmap_base": 32,
    "fmap_max": 8,
    "stable_kimg": 0.008,
    "fade_kimg": 0.08,
}


def small_trainer(arch, mode, strategy=None, **given):
    """Build a tiny trainer of an architecture and a mode."""
    row = tables.ARCHS[arch]
    size = -(-row.min_size // row.multiple_of) * row.multiple_of
    own = {n: v for n, v in SMALL.items() if n in (*row.network, *row.training)}
    own |= {"output_height": size, "batch_size": 4, "critic_num": 2}
    given = {"arch": arch, "mode": mode, "dataset": "faces", **own, **given}
    c = settle(resolve(given), 3, tables.FEW_IMAGES)
    spec = ImageSpec(c.output_height, c.output_width, 3, 100, 0)
    return build.build_trainer(c, spec, per_epoch=2, strategy=strategy)


def small_batch(trainer, seed=0):
    """Return a random batch for one step: (images, labels), or images of two domains."""
    rng = np.random.default_rng(seed)
    shape = (*trainer.batch_spec(int(trainer.count)), *trainer.image)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    if {"generator", "critic"} <= trainer.trained.keys():
        return images, np.zeros(shape[:2], np.int32)
    return images, images[:, ::-1].copy()


def cases(architectures, modes, everything=False):
    """List the (architecture, mode, norm of the critic, penalty) to check.

    The norm and the penalty are None for the defaults. Each of them varies alone, in mode gp,
    unless `everything`.
    """
    norms, penalties = (None, *fields.NORMS), (None, *tables.PENALTIES)
    found = []
    for case in itertools.product(architectures, modes, norms, penalties):
        given = [value for value in case[2:] if value]
        if everything or not given or (case[1] == "gp" and len(given) == 1):
            found.append(case)
    return found


def into_fade(trainer):
    """Step until the networks of a growing trainer are in the fade of the second stage."""
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # faster than compiling the first stage
    while trainer.grows or float(tf.convert_to_tensor(getattr(trainer, "alpha", 1.0))) == 0:
        trainer.step(*small_batch(trainer))
    tf.config.run_functions_eagerly(eagerly)


def sum_by_keras(trainer):
    """Undo `replicas.order_updates` for a trainer of one replica."""
    for pair in getattr(trainer, "directions", [trainer]):
        for optimizer in (pair.g_optimizer, pair.d_optimizer):
            del optimizer._all_reduce_sum_gradients  # Keras' own method is left


def final_graphs(trainer):
    """Run a step, and return its graphs after all optimisations."""
    batch = small_batch(trainer)
    context.context().enable_run_metadata()
    try:
        trainer.step(*batch)
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_run_metadata()
    return [graph for own in metadata.function_graphs for graph in own.partition_graphs]


def unordered(graph):
    """List the unordered pairs of a graph: (variable, one operation, the other operation).

    Each function that the graph calls is checked separately.
    """
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return [pair for nodes in bodies for pair in _unordered(nodes)]


def _nodes(graph):
    """Yield all nodes of a graph and of the functions that it calls."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _unordered(nodes):
    number = {node.name: i for i, node in enumerate(nodes)}
    inputs = [[number[n] for n in map(_name, node.input) if n in number] for node in nodes]
    # The graph is acyclic without the edges to a loop's next iteration.
    forward = [[j for j in own if nodes[j].op != "NextIteration"] for own in inputs]
    before, loops = _ancestors(forward), _loops(nodes, forward)

    def ordered(i, j):
        """Return whether a path orders two nodes, also across the iterations of a common loop."""
        common = loops[i][:1] == loops[j][:1] != ()
        for first, last in ((i, j), (j, i)):
            if before[last] >> first & 1:
                return not common or _leads(inputs, last, first)
        return not common and (_leads(inputs, i, j) or _leads(inputs, j, i))

    uses = {}
    for i, node in enumerate(nodes):
        writes = node.op.startswith(("Assign", "ResourceApply", "ResourceScatter"))
        if writes or node.op in READS:
            for source in _handles(nodes, inputs, i):
                uses.setdefault(source, []).append((i, writes))
    return [
        (source, nodes[j].name, nodes[i].name)
        for source, own in uses.items()
        for k, (i, i_writes) in enumerate(own)
        for j, j_writes in own[:k]
        if (i_writes or j_writes) and not ordered(i, j)
    ]


def _loops(nodes, forward):
    """Return for each node the names of the loops that it is in, the outermost first."""
    found = [None] * len(nodes)
    for i in _in_order(forward):
        own = max((found[j] for j in forward[i]), key=len, default=())
        if nodes[i].op == "Enter":
            own = (*own, nodes[i].attr["frame_name"].s)
        found[i] = own[:-1] if nodes[i].op == "Exit" else own
    return found


def _reached(edges, roots):
    """Return the set of nodes that can be reached from the roots."""
    found, waiting = set(roots), list(roots)
    while waiting:
        new = [j for j in edges[waiting.pop()] if j not in found]
        found.update(new)
        waiting += new
    return found


def _leads(inputs, first, last):
    """Return whether a path leads from one node to another, also through later iterations."""
    return first in _reached(inputs, [last])


def _name(text):
    """Return the name of an input's node: "^a" and "a:out:0" are "a"."""
    return text.removeprefix("^").partition(":")[0]


def _handles(nodes, inputs, i):
    """Return the names of the variables that a node uses, traced back through identities."""
    found, waiting = set(), list(inputs[i])
    while waiting:
        node = nodes[j := waiting.pop()]
        if node.op in ("_Arg", "VarHandleOp", "Placeholder") and _is_resource(node):
            found.add(node.name)
        elif node.op in ("Identity", "_Recv", "_Send", "Switch", "Enter"):
            waiting += inputs[j]
    return found


def _is_resource(node):
    kind = node.attr["T" if node.op == "_Arg" else "dtype"].type
    return node.op == "VarHandleOp" or kind == tf.resource.as_datatype_enum


def _ancestors(inputs):
    """Return for each node of an acyclic graph a bit mask of its ancestors."""
    done = [0] * len(inputs)
    for i in _in_order(inputs):
        for j in inputs[i]:
            done[i] |= done[j] | 1 << j
    return done


def _in_order(inputs):
    """Return the numbers of the nodes of an acyclic graph, each after those of its inputs."""
    return list(graphlib.TopologicalSorter(dict(enumerate(inputs))).static_order())


def two_replicas():
    """Return a strategy of two replicas on the CPU. TensorFlow must not have run yet."""
    one = tf.config.LogicalDeviceConfiguration()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [one, one])
    return replicas.choose_strategy(("CPU",))


def check(case, strategy, keras):
    """Return the unordered pairs of a case's train step."""
    arch, mode, norm, penalty = case
    given = {name: v for name, v in (("critic_norm", norm), ("penalty", penalty)) if v}
    trainer = small_trainer(arch, mode, strategy, **given)
    into_fade(trainer)
    if keras:
        sum_by_keras(trainer)
    graphs = final_graphs(trainer)
    writes = ("ResourceApply", "Assign")
    if not any(node.op.startswith(writes) for graph in graphs for node in _nodes(graph)):
        raise RuntimeError(f"the graphs of {case} have no update of a weight")
    return [pair for graph in graphs for pair in unordered(graph)]


def main():
    """Print the pairs of each trainer; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", nargs="*", default=list(tables.ARCHS))
    parser.add_argument("--mode", nargs="*", default=list(tables.MODES))
    parser.add_argument("--strategy", nargs="*", default=["none", "mirrored"])
    parser.add_argument("--all", action="store_true", help="all combinations")
    parser.add_argument("--keras", action="store_true", help="let Keras sum gradients: has races")
    call = parser.parse_args()
    devices.import_tensorflow("cpu")
    strategies = {"none": None, "mirrored": two_replicas()}
    total = 0
    for case in cases(call.arch, call.mode, call.all):
        for name in call.strategy:
            pairs = check(case, strategies[name], call.keras)
            total += len(pairs)
            words = " ".join(word or "default" for word in case)
            print(f"{words}, strategy {name}: {len(pairs)} unordered pairs", flush=True)
            for pair in pairs:
                print("  " + " | ".join(pair))
            tf.keras.backend.clear_session()
    return min(total, 1)


if __name__ == "__main__":
    sys.exit(main())
