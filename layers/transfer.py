"""Taking over the weights of a saved network, whose layers need not all fit."""

import dataclasses
import difflib

import keras
import numpy as np

from layers import stock

INPUTS = {"Dense": 0, "Conv2D": 2, "Conv2DTranspose": 3}  # the axis of a kernel with its inputs


@dataclasses.dataclass
class Taken:
    """The result of `take`.

    Attributes:
      total: number of the network's layers with weights.
      taken: number of those that have got saved weights.
      new: the layers that keep their initial weights, because no saved layer fits.
      labels: the layers that keep their initial weights of the labels. Those that take nothing but
        labels have no other weights; the other layers have saved ones.
    """

    total: int
    taken: int
    new: list
    labels: list


@dataclasses.dataclass
class _Part:
    """A layer with weights.

    Attributes:
      layer: the layer.
      kind: name of Keras' layer class.
      weights: list of arrays, those of the stock layer.
      n_labels: number of labels among the layer's inputs.
      last: True if the labels are the last inputs.
    """

    layer: keras.Layer
    kind: str
    weights: list
    n_labels: int
    last: bool

    @property
    def only_labels(self):
        """True if all inputs of the layer are labels."""
        return 0 < self.n_labels == self.weights[0].shape[INPUTS[self.kind]]

    @property
    def signature(self):
        """The kind and the shapes of the weights, without the weights of the labels."""
        shapes = [list(w.shape) for w in self.weights]
        if self.kind in INPUTS:
            shapes[0][INPUTS[self.kind]] -= self.n_labels
        return (self.kind, *map(tuple, shapes))


def take(network, saved, *, same_labels=True, from_image=True):
    """Copy the weights of the layers of `saved` that fit into `network`.

    A layer fits another one of the same kind and shape. The labels may differ: a layer that takes
    labels as its last inputs gets the saved weights of its other inputs. The layers are matched in
    their order, by the longest runs of layers that fit.

    Args:
      network: Keras model.
      saved: Keras model of stock layers.
      same_labels: True if the labels have the same meaning in both, so that their weights fit.
      from_image: True prefers the runs that are nearest to the image, False those that are farthest
        from it.

    Returns:
      A `Taken`.
    """
    own, given = _parts(network, from_image), _parts(saved, from_image)
    found, done = Taken(len(own), 0, [], []), set()
    signatures = ([part.signature for part in parts] for parts in (own, given))
    matcher = difflib.SequenceMatcher(None, *signatures, autojunk=False)
    for i, j, count in matcher.get_matching_blocks():
        for part, other in zip(own[i : i + count], given[j : j + count]):
            weights, with_labels = _merge(part, other, same_labels)
            if weights is None:
                continue
            getattr(part.layer, "set_stock_weights", part.layer.set_weights)(weights)
            found.taken += 1
            done.add(id(part.layer))
            found.labels += [] if with_labels else [part.layer]
    for part in own:
        if id(part.layer) not in done:
            (found.labels if part.only_labels else found.new).append(part.layer)
    return found


def _merge(part, other, same_labels):
    """Return (the weights of `part` with those of `other` that fit, True if no others are left).

    The weights are None if the layer takes nothing but labels, or takes them in unknown places.
    """
    if part.n_labels == other.n_labels and (same_labels or not part.n_labels):
        return other.weights, True
    axis = INPUTS[part.kind]
    rest = part.weights[0].shape[axis] - part.n_labels
    if not (rest and part.last and other.last):
        return None, False
    kernel = np.moveaxis(np.array(part.weights[0]), axis, 0)
    kernel[:rest] = np.moveaxis(other.weights[0], axis, 0)[:rest]
    return [np.moveaxis(kernel, 0, axis), *other.weights[1:]], not part.n_labels


def _parts(network, from_image):
    """List the layers of a network that have weights, from the image or from the other end."""
    parts = []
    for layer in stock.layers_of(network):
        if weights := getattr(layer, "stock_weights", layer.get_weights)():
            kind = getattr(layer, "kind", type(layer)).__name__
            labels = _labels(layer) if kind in INPUTS else (0, True)
            parts.append(_Part(layer, kind, weights, *labels))
    takes_images = len(network.inputs[0].shape) == 4
    return parts if takes_images == from_image else parts[::-1]


def _labels(layer):
    """Return (the number of labels among a layer's inputs, True if they are the last inputs)."""
    nodes, last = layer._inbound_nodes, True  # a layer in a wrapper has no nodes
    tensors = nodes[0].input_tensors if nodes else ()
    while len(tensors) == 1:
        source, node, _ = tensors[0]._keras_history
        if isinstance(source, keras.layers.InputLayer):
            return (tensors[0].shape[-1], True) if source.name == "labels" else (0, True)
        tensors = source._inbound_nodes[node].input_tensors
        if isinstance(source, keras.layers.Concatenate):  # `ops.concat_labels`
            return tensors[-1].shape[-1], last
        if getattr(source, "weights", ()):
            break
        last = last and isinstance(source, keras.layers.Reshape)
    return 0, True


def nearest(critic, count, without=()):
    """List the `count` layers with a kernel that are nearest to the image, and their norms.

    Args:
      critic: Keras model of images, and of labels.
      count: number of layers with a kernel. The layers of a residual block count one by one. Layers
        of labels alone do not count. The last layer, the score, is never listed.
      without: layers to leave out.

    Returns:
      A list of layers. A norm belongs to the layer with a kernel before it.
    """
    layers = [
        layer
        for layer in stock.layers_of(critic)
        if layer.trainable_variables and layer not in without and not _takes_labels_only(layer)
    ]
    starts = [i for i, layer in enumerate(layers) if hasattr(layer, "kernel")]
    return layers[: starts[min(count, len(starts) - 1)]]


def _takes_labels_only(layer):
    return hasattr(layer, "kernel") and 0 < _labels(layer)[0] == layer.kernel.shape[0]


def describe(layer):
    """Return a layer's kind and its numbers of inputs and outputs: "Dense 100->4608"."""
    kind = getattr(layer, "kind", type(layer)).__name__
    weights = getattr(layer, "stock_weights", layer.get_weights)()
    if kind not in INPUTS:
        return f"{kind} {weights[0].shape[0]}"
    shape = list(weights[0].shape)
    inputs = shape.pop(INPUTS[kind])
    return f"{kind} {inputs}->{shape[-1]}"
