"""Stock copies of networks, for saved files that load without this project's code.

A stock copy has Keras' own layers only. Each layer class of this project has `stock()`, which
returns a Keras layer that computes the same, and `stock_weights()`, which returns that layer's
weights.
"""

import keras
import tensorflow as tf


class Stocked:
    """A mixin for layers with the weights and results of the Keras layer class `kind`."""

    def stock(self):
        """Return the Keras layer, without weights."""
        return self.kind.from_config(self.get_config())

    def stock_weights(self):
        """Return the Keras layer's weights, a list of arrays."""
        return self.get_weights()

    def set_stock_weights(self, weights):
        """Set the weights to those of the Keras layer, a list of arrays."""
        self.set_weights(weights)


def at_least_float32(x):
    """Cast a float16 or bfloat16 tensor to float32. Return float32 and float64 unchanged."""
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def layers_of(network):
    """List a network's layers, with the layers of nested networks and wrappers, each once."""
    found, waiting = {}, list(network.layers)
    while waiting:
        layer = waiting.pop(0)
        if isinstance(layer, keras.Model):
            waiting = [*layer.layers, *waiting]
            continue
        found[id(layer)] = layer
        if isinstance(layer, keras.layers.Wrapper):
            waiting = [layer.layer, *waiting]
    return list(found.values())


def batch_norms(network):
    """List the batch-norm layers of a network."""
    return [x for x in layers_of(network) if isinstance(x, keras.layers.BatchNormalization)]


def stock(network, *, copy=False):
    """Return a float32 network of stock Keras layers with the same weights.

    Args:
      network: Keras model.
      copy: False returns `network` itself if it has stock float32 layers only.
    """
    if not copy and not any(
        hasattr(layer, "stock") or layer.compute_dtype != "float32" for layer in layers_of(network)
    ):
        return network

    def clone(layer):
        if isinstance(layer, keras.Model):
            return stock(layer, copy=True)
        return in_float32(layer.stock() if hasattr(layer, "stock") else _from_config(layer))

    same = keras.models.clone_model(network, clone_function=clone)
    for layer in network.layers:
        if layer.weights and not isinstance(layer, keras.Model):
            own = layer.stock_weights if hasattr(layer, "stock_weights") else layer.get_weights
            same.get_layer(layer.name).set_weights(own())
    return same


def _from_config(layer):
    return type(layer).from_config(layer.get_config())


def in_float32(layer):
    """Make a new layer compute in float32, and return it."""
    layer.dtype_policy = "float32"
    return layer


def copy_in_float32(network):
    """Return a float32 copy of a network, with the same layer classes and weights."""
    same = keras.models.clone_model(network, clone_function=lambda x: in_float32(_from_config(x)))
    same.set_weights(network.get_weights())
    return same
