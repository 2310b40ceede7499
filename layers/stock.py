"""Stock copies of networks: saved files hold stock Keras layers only."""

import keras


class Stocked:
    """A layer that does what Keras' own `kind` does, with the same weights, in another way."""

    def stock(self):
        """Keras' own layer, without the weights."""
        return self.kind.from_config(self.get_config())

    def stock_weights(self):
        """The weights that it takes."""
        return self.get_weights()


def layers_of(network):
    """The layers of a network and of those nested in it, each once."""
    found = {}
    for layer in network.layers:
        nested = layers_of(layer) if isinstance(layer, keras.Model) else [layer]
        found |= {id(one): one for one in nested}
    return list(found.values())


def stock(network, *, copy=False):
    """A network of stock Keras layers with the same weights, that computes in float32.

    It is the network itself where that is one, and no `copy` is asked for.
    """
    if not copy and not any(
        hasattr(layer, "stock") or layer.compute_dtype != "float32" for layer in layers_of(network)
    ):
        return network

    def clone(layer):
        if isinstance(layer, keras.Model):
            return stock(layer, copy=True)
        return plain(layer.stock() if hasattr(layer, "stock") else _from_config(layer))

    same = keras.models.clone_model(network, clone_function=clone)
    for layer in network.layers:
        if layer.weights and not isinstance(layer, keras.Model):
            own = layer.stock_weights if hasattr(layer, "stock_weights") else layer.get_weights
            same.get_layer(layer.name).set_weights(own())
    return same


def _from_config(layer):
    return type(layer).from_config(layer.get_config())


def plain(layer):
    """A new layer, set to compute in float32."""
    layer.dtype_policy = "float32"
    return layer


def double(network):
    """A network of the same layers with the same weights, that computes in float32."""
    same = keras.models.clone_model(network, clone_function=lambda x: plain(_from_config(x)))
    same.set_weights(network.get_weights())
    return same
