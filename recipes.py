"""The tables: what each mode, network, data set and preset is made of.

Data only. A row's keys are `Config` fields, which a flag overrides, and the parts that
no flag changes, named as `module:function`.
"""

# Losses and penalties are functions of `losses.py`; `weights` maps a penalty's keyword to
# the Config field that holds it. `gap` names mean critic(real) - mean critic(fake).
_ADAM = {"optimizer": "adam", "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}

MODES = {
    "gp": {  # WGAN-GP, 1704.00028
        "critic_loss": "losses:wasserstein_critic",
        "generator_loss": "losses:wasserstein_generator",
        "penalty": "losses:gradient_penalty",
        "weights": {"weight": "LAMBDA"},
        "gap": "wasserstein",
        **_ADAM,
        "learning_rate": 2e-4,
        "beta2": 0.9,
        "critic_num": 5,
        "critic_norm": "none",
    },
    "regular": {  # WGAN with weight clipping, 1701.07875
        "critic_loss": "losses:wasserstein_critic",
        "generator_loss": "losses:wasserstein_generator",
        "clip": ("clip_down", "clip_up"),
        "gap": "wasserstein",
        "optimizer": "rmsprop",
        "learning_rate": 5e-5,
        "rho": 0.99,
        # Keras adds it inside the root: 1e-10 there is 1e-5 outside.
        "epsilon": 1e-10,
        "critic_num": 5,
        "critic_norm": "batch",
    },
    "div": {  # WGAN-div, 1712.01026
        "critic_loss": "losses:wasserstein_critic",
        "generator_loss": "losses:wasserstein_generator",
        "penalty": "losses:divergence_penalty",
        "weights": {"weight": "div_k", "power": "div_p"},
        "gap": "wasserstein",
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 5,
        "critic_norm": "none",
    },
    "gan": {  # non-saturating GAN, 1406.2661, with DCGAN's settings, 1511.06434
        "critic_loss": "losses:logistic_critic",
        "generator_loss": "losses:logistic_generator",
        "gap": "logit_gap",
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 1,
        "critic_norm": "batch",
    },
}

MODE_ALIASES = {"wgan-gp": "gp", "wgan": "regular", "wgan-div": "div"}

# `builder` takes (spec, **network) and returns (generator, critic); `network` lists the
# Config fields that it takes. A width is a base, doubled as the maps shrink, or all of
# them from the network's entry to its exit: "512,256,128,64".
ARCHS = {
    "dcgan": {
        "builder": "model:build_dcgan",
        "trainer": "model:WGAN",
        "network": (
            "z_dim",
            "g_width",
            "d_width",
            "fc_width",
            "kernel_size",
            "critic_norm",
        ),
        "mode": "gp",
        "z_dim": 100,
        "z_distribution": "uniform",
        "g_width": (32,),
        "d_width": (32,),
        "fc_width": 0,
        "kernel_size": 4,
    },
}

OPTIMIZERS = {  # Keras class, and its keywords by Config field
    "adam": (
        "keras.optimizers:Adam",
        {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"},
    ),
    "rmsprop": (
        "keras.optimizers:RMSprop",
        {"rho": "rho", "epsilon": "epsilon", "momentum": "momentum"},
    ),
    "sgd": ("keras.optimizers:SGD", {"momentum": "momentum"}),
}

LATENTS = {  # `sweep`: the lowest and highest value that test mode's sweeps go through
    "uniform": {"function": "ops:uniform_latents", "sweep": (-1.0, 1.0)},
    "normal": {"function": "ops:normal_latents", "sweep": (-2.0, 2.0)},
}

# A name that is not here is a folder, read by FOLDER's row.
FOLDER = {
    "reader": "sources:read_folder",
    "output_height": 64,
    "conditional": False,
    "mirror": False,
}
DATASETS = {
    "mnist": {
        "reader": "sources:read_mnist",
        "input_height": 28,
        "output_height": 28,
        "conditional": True,
        "mirror": False,
    },
    "digits": {
        "reader": "sources:read_digits",
        "input_height": 8,
        "output_height": 28,
        "conditional": True,
        "mirror": False,
    },
    "lsun": {**FOLDER, "reader": "sources:read_lsun", "input_height": 256},
    "celebA": {**FOLDER, "input_height": 108, "mirror": True},
    "faces": {**FOLDER, "input_height": 96, "output_height": 48, "mirror": True},
}

# The seed's own networks and optimiser (yangxue0827's flag-driven WGAN), its faults mended.
_SEED_002 = {
    "arch": "dcgan",
    "mode": "gp",
    "kernel_size": 5,
    "z_dim": 100,
    "z_distribution": "uniform",
    "optimizer": "rmsprop",
    "learning_rate": 2e-4,
    "rho": 0.9,
    "epsilon": 1e-10,
    "critic_num": 5,
    "batch_size": 64,
}
PRESETS = {
    "mnist_conditional": {
        **_SEED_002,
        "dataset": "mnist",
        "epoch": 50,
        "g_width": (128, 128),
        "d_width": (11, 74),
        "fc_width": 1024,
    },
    "faces": {
        **_SEED_002,
        "dataset": "faces",
        "epoch": 200,
        "input_height": 96,
        "output_height": 48,
        "g_width": (512, 256, 128, 64),
        "d_width": (64, 128, 256, 512),
    },
}
