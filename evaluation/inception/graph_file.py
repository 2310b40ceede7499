"""Reads the constants of a frozen graph of TensorFlow, without running it."""

import math
import os

import numpy as np

MAX_BYTES, MAX_NUMBERS = 2**31, 2**28  # of a file, as protobuf has it, and of all constants
SCALED = "scale_after_normalization"  # attribute of the batch norm of 2015


def read(path):
    """Read the constants of a `GraphDef`.

    A batch norm that does not scale has a gamma, which TensorFlow leaves out. It is returned as 1.

    Args:
      path: path of the file, such as classify_image_graph_def.pb.

    Returns:
      A dict of name → array.

    Raises:
      OSError: if it cannot be read.
      ValueError: if it is no graph.
    """
    import tensorflow as tf

    if os.path.getsize(path) >= MAX_BYTES:
        raise ValueError("it is too large for a frozen graph")
    graph = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        body = file.read()
    try:
        graph.ParseFromString(body)
        tensors = {n.name: n.attr["value"].tensor for n in graph.node if n.op == "Const"}
        # A constant of any size may be one number, which is repeated.
        count = sum(
            math.prod(abs(dim.size) for dim in x.tensor_shape.dim) for x in tensors.values()
        )
        found = {} if count > MAX_NUMBERS else {n: tf.make_ndarray(x) for n, x in tensors.items()}
    except Exception as error:  # protobuf has errors of its own
        raise ValueError(f"it is no frozen graph ({type(error).__name__})") from None
    if count > MAX_NUMBERS:
        raise ValueError("its constants are too large")
    for node in graph.node:
        if SCALED in node.attr and not node.attr[SCALED].b and len(node.input) == 5:
            gamma = node.input[4].partition(":")[0]
            if gamma in found:
                found[gamma] = np.ones_like(found[gamma])
    return found
