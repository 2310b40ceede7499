"""Adam as one operation a weight."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("optimizers")  # to make a loss-scaled one of a config
class Adam(keras.optimizers.Adam):
    """Keras' own (1412.6980), by TensorFlow's fused operation: one pass over the memory, not ten.

    The same to rounding.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Move a weight, and its moments, by its gradient."""
        if self.amsgrad:  # the operation has none
            return super().update_step(gradient, variable, learning_rate)

        def cast(x):
            return tf.cast(x, variable.dtype)

        index, step = self._get_variable_index(variable), cast(self.iterations.value + 1)
        return tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=cast(self.beta_1) ** step,
            beta2_power=cast(self.beta_2) ** step,
            lr=cast(learning_rate),
            beta1=cast(self.beta_1),
            beta2=cast(self.beta_2),
            epsilon=cast(self.epsilon),
            grad=cast(gradient),
        )
