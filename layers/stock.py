"""Stock copies of networks: saved files hold stock Keras layers and load without this project.

A layer of our own has `stock()`, which returns a Keras layer that computes the same, and
`stock_weights()`, which returns that layer's weights.
"""

import keras


class Stocked:
    """A mixin for a layer that computes what Keras' layer `kind` does, with the same weights."""

    def stock(self):
        """Return Keras' layer, without weights."""
        return self.kind.from_config(self.get_config())

    def stock_weights(self):
        """Return the weights of Keras' layer, a list of arrays."""
        return self.get_weights()

    def set_stock_weights(self, weights):
        """Take the weights of Keras' layer."""
        self.set_weights(weights)


def layers_of(network):
    """List the layers of a network, of the networks nested in it and inside wrappers, each once."""
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
    """Return a network of stock Keras layers with the same weights, which computes in float32.

    Without `copy` a network that is one already is returned itself.
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


def take_stock_weights(network, copy):
    """Give a network the weights of a stock copy of such a network.

    Raises:
      ValueError: where the copy is one of another network.
    """
    own, given = ([x for x in layers_of(n) if x.weights] for n in (network, copy))
    for layer, saved in zip(own, given, strict=True):
        take = getattr(layer, "set_stock_weights", layer.set_weights)
        take(saved.get_weights())


def _from_config(layer):
    return type(layer).from_config(layer.get_config())


def in_float32(layer):
    """Set a new layer to compute in float32, and return it."""
    layer.dtype_policy = "float32"
    return layer


def double(network):
    """Return a network of the same layers with the same weights, which computes in float32."""
    same = keras.models.clone_model(network, clone_function=lambda x: in_float32(_from_config(x)))
    same.set_weights(network.get_weights())
    return same
