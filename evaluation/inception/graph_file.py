"""Reads the constants of a frozen graph of TensorFlow, without running it."""

import numpy as np

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

    graph = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        body = file.read()
    try:
        graph.ParseFromString(body)
        found = {
            node.name: tf.make_ndarray(node.attr["value"].tensor)
            for node in graph.node
            if node.op == "Const"
        }
    except Exception as error:  # protobuf has errors of its own
        raise ValueError(f"it is no frozen graph ({type(error).__name__})") from None
    for node in graph.node:
        if SCALED in node.attr and not node.attr[SCALED].b and len(node.input) == 5:
            gamma = node.input[4].partition(":")[0]
            if gamma in found:
                found[gamma] = np.ones_like(found[gamma])
    return found
