"""The final graph of a train step orders every read of a variable and its writes."""

import pytest
import tensorflow as tf

from benchmarks import races
from config import fields, tables
from training import replicas


def chain(*nodes):
    """A GraphDef of nodes (name, op, inputs), with variables for _Arg."""
    graph = tf.compat.v1.GraphDef()
    for name, op, inputs in nodes:
        node = graph.node.add(name=name, op=op, input=inputs)
        if op == "_Arg":
            node.attr["T"].type = tf.resource.as_datatype_enum
    return graph


VARIABLE = ("v", "_Arg", [])


@pytest.mark.parametrize(
    ("nodes", "count"),
    [
        ([("r", "ReadVariableOp", ["v"]), ("w", "AssignVariableOp", ["v", "r"])], 0),
        ([("r", "ReadVariableOp", ["v"]), ("w", "AssignVariableOp", ["v"])], 1),
        ([("r", "ReadVariableOp", ["v"]), ("w", "AssignVariableOp", ["v", "^r"])], 0),
        ([("r", "ReadVariableOp", ["v"]), ("s", "ReadVariableOp", ["v"])], 0),
        ([("w", "AssignVariableOp", ["v"]), ("x", "AssignAddVariableOp", ["v"])], 1),
        (  # a read after a copy of the handle
            [
                ("i", "Identity", ["v"]),
                ("r", "ReadVariableOp", ["i:0"]),
                ("w", "ResourceApplyAdam", ["v"]),
            ],
            1,
        ),
    ],
)
def test_pairs_without_an_order_are_found(nodes, count):
    assert len(races.unordered(chain(VARIABLE, *nodes))) == count


def loop(*body):
    """A loop around a body that begins at `s` and ends with `n`."""
    return chain(
        VARIABLE,
        ("zero", "Const", []),
        ("e", "Enter", ["zero"]),
        ("h", "Enter", ["v"]),
        ("m", "Merge", ["e", "n"]),
        ("s", "Switch", ["m"]),
        *body,
        ("x", "Exit", ["s"]),
        ("after", "ReadVariableOp", ["v", "^x"]),
    )


def test_the_order_in_a_loop_is_that_of_one_iteration():
    body = [("r", "ReadVariableOp", ["h", "^s"]), ("w", "AssignVariableOp", ["h", "^r"])]
    assert races.unordered(loop(*body, ("n", "NextIteration", ["s", "^w"]))) == []
    body[1] = ("w", "AssignVariableOp", ["h", "^s"])
    pairs = races.unordered(loop(*body, ("n", "NextIteration", ["s", "^w", "^r"])))
    assert pairs == [("v", "r", "w")]


def test_a_node_between_two_loops_is_in_neither():
    """One path from the write to the read is enough: they are not repeated."""
    between = [
        ("w", "AssignVariableOp", ["v", "x"]),
        ("r", "ReadVariableOp", ["v", "^w"]),
        ("e2", "Enter", ["r"]),
        ("m2", "Merge", ["e2", "n2"]),
        ("s2", "Switch", ["m2"]),
        ("n2", "NextIteration", ["s2"]),
        ("x2", "Exit", ["s2"]),
    ]
    graph = loop(("n", "NextIteration", ["s"]))
    graph.node.remove(graph.node[-1])  # the read after the loop
    graph.MergeFrom(chain(*between))
    for node in graph.node:
        if node.op == "Enter":
            node.attr["frame_name"].s = b"second" if node.name == "e2" else b"first"
    assert races.unordered(graph) == []


QUICK = [  # architecture, mode, norm, penalty; strategy
    (("pggan", "gp", None, None), "none"),
    (("mlp", "dragan", None, None), "none"),
    (("mlp", "gp", "spectral", None), "mirrored"),
]
ALL = [
    (case, strategy)
    for case in races.cases(tables.ARCHS, tables.MODES)
    for strategy in ("none", "mirrored")
]


@pytest.mark.parametrize(
    ("case", "strategy"),
    [*QUICK, *(pytest.param(*row, marks=pytest.mark.slow) for row in ALL if row not in QUICK)],
)
def test_no_step_has_a_race(case, strategy):
    """With Keras' own sum of the gradients pggan has three pairs in gp, and two in r1."""
    strategy = replicas.choose_strategy(("CPU",)) if strategy == "mirrored" else None
    assert races.check(case, strategy, keras=False) == []


def test_every_case_is_checked():
    cases = races.cases(["mlp", "cyclegan"], ["gp", "gan"])
    assert len(cases) == len({*cases}) == 2 * (2 + len(fields.NORMS) + len(tables.PENALTIES))
    assert ("cyclegan", "gan", None, None) in cases and ("mlp", "gp", "layer", None) in cases
    everything = races.cases(["mlp"], ["gp", "gan"], True)
    assert len(everything) == 2 * (1 + len(fields.NORMS)) * (1 + len(tables.PENALTIES))


def test_growing_networks_are_checked_in_a_fade(eager):
    trainer = races.small_trainer("pggan", "gp")
    races.into_fade(trainer)
    assert int(trainer.stage) == 1 and float(trainer.alpha) < 1


def test_the_race_is_found_where_it_is():
    trainer = races.small_trainer("pggan", "gp")
    races.sum_by_keras(trainer)
    tf.config.optimizer.set_experimental_options({"dependency_optimization": True})
    graphs = races.final_graphs(trainer)
    assert [pair for graph in graphs for pair in races.unordered(graph)] != []
