"""The tables: what each mode, network, optimiser, data set and extractor is made of.

Data only. A row's keys are `Config` fields, which a flag overrides, and the parts that
no flag changes, named as `module:function`.
"""

import importlib

# Losses and penalties are functions of `losses.py`; `weights` maps a penalty's keyword to
# the Config field that holds it. `gap` names mean critic(real) - mean critic(fake).
_ADAM = {"optimizer": "adam", "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}
_WASSERSTEIN = {
    "critic_loss": "losses:wasserstein_critic",
    "generator_loss": "losses:wasserstein_generator",
    "gap": "wasserstein",
}
_LOGISTIC = {
    "critic_loss": "losses:logistic_critic",
    "generator_loss": "losses:logistic_generator",
    "gap": "logit_gap",
    "probabilities": True,
}

MODES = {
    "gp": {  # WGAN-GP, 1704.00028
        **_WASSERSTEIN,
        "points": "losses:interpolates",
        "penalty": "losses:one_centred",
        "weights": {"weight": "LAMBDA"},
        **_ADAM,
        # What wins benchmarks/quality.py in the same minutes: one critic update, not the paper's
        # five, at ten times its rate, and the penalty at a share of the batch. Its momentums are
        # the paper's. The published values are in the presets.
        "learning_rate": 1e-3,
        "beta1": 0.0,
        "beta2": 0.9,
        "critic_num": 1,
        "penalty_fraction": 0.25,
        "critic_norm": "none",
    },
    "regular": {  # WGAN with weight clipping, 1701.07875
        **_WASSERSTEIN,
        "clip": ("clip_down", "clip_up"),
        "optimizer": "rmsprop",
        "learning_rate": 5e-5,
        "rho": 0.99,
        # Keras adds it inside the root: 1e-10 there is 1e-5 outside.
        "epsilon": 1e-10,
        "critic_num": 5,
        "critic_norm": "batch",
    },
    "div": {  # WGAN-div, 1712.01026
        **_WASSERSTEIN,
        "points": "losses:interpolates",
        "penalty": "losses:power",
        "weights": {"weight": "div_k", "power": "div_p"},
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 5,
        "critic_norm": "none",
    },
    "gan": {  # non-saturating GAN, 1406.2661, with DCGAN's settings, 1511.06434
        **_LOGISTIC,
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 1,
        "critic_norm": "batch",
    },
    "lsgan": {  # 1611.04076
        "critic_loss": "losses:least_squares_critic",
        "generator_loss": "losses:least_squares_generator",
        "gap": "score_gap",
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 1,
        "critic_norm": "batch",
    },
    "hinge": {  # 1705.02894
        "critic_loss": "losses:hinge_critic",
        "generator_loss": "losses:wasserstein_generator",
        "gap": "score_gap",
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 1,
        "critic_norm": "none",
    },
    "dragan": {  # 1705.07215
        **_LOGISTIC,
        "points": "losses:perturbed_reals",
        "penalty": "losses:one_centred",
        "weights": {"weight": "LAMBDA"},
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 1,
        "critic_norm": "none",
    },
    "r1": {  # 1801.04406
        **_LOGISTIC,
        "points": "losses:reals",
        "penalty": "losses:half_square",
        "weights": {"weight": "LAMBDA"},
        **_ADAM,
        "learning_rate": 2e-4,
        "critic_num": 1,
        "critic_norm": "none",
    },
}

MODE_ALIASES = {"wgan-gp": "gp", "wgan": "regular", "wgan-div": "div"}

# `builder` takes (spec, **network) and returns (generator, critic); `network` lists the
# Config fields that it takes. A width is a base, doubled as the maps shrink, or all of
# them from the network's entry to its exit: "512,256,128,64". A size must be at least
# `min_size` and a multiple of `multiple_of`; `one_width`: widths are bases alone; `square` names
# the field that both sides are, a power of two. `training` lists fields that the trainer takes
# beside those that all take, `schedule` those of them that a run cannot change, and `stages`
# names what gives the networks of each stage of a pair that grows, or those that a step trains
# together. `asks` lists what test mode can be asked for, and `without` what a network cannot do;
# `does` says why. `settles` are values that go before the data set's, `by_size` those of
# a field by the least side of the images, from (side, value) pairs. `load`, `look` and `pictures`
# stand in for `dataset.load`, `dataset.look` and test mode's sampler, which takes the fields of
# `testing`; `reader` is the data set's unless given; `facts` are what the trainer takes of the
# schedule and the data, and `min_batch` is the least batch, 2 unless given. `batches` names what
# gives the images of all batches of a network that has several, and its fields.
_NORMAL = {"z_dim": 100, "z_distribution": "normal"}
_LABELS = ("critic_norm", "label_mode")
_SAMPLES = {
    "asks": ("num_samples", "seeds", "label", "interpolate", "visualize"),
    "does": "makes images of latents",
}
ARCHS = {
    "dcgan": {  # 1511.06434
        "builder": "model:build_dcgan",
        "trainer": "model:GANTrainer",
        **_SAMPLES,
        "network": (
            *("z_dim", "g_width", "d_width", "fc_width", "kernel_size", "bias", "g_norm"),
            *_LABELS,
        ),
        "min_size": 8,
        "multiple_of": 1,
        "mode": "gp",
        "z_dim": 100,
        "z_distribution": "uniform",
        "g_width": (32,),
        "d_width": (32,),
        "fc_width": 0,
        "kernel_size": 4,
    },
    "mlp": {  # seed 001's SimpleGAN
        "builder": "architectures.mlp:build_mlp",
        "trainer": "model:GANTrainer",
        **_SAMPLES,
        "network": ("z_dim", "g_width", "d_width", *_LABELS),
        "min_size": 8,
        "multiple_of": 1,
        "mode": "gp",
        **_NORMAL,
        "z_dim": 64,
        "g_width": (256,),
        "d_width": (128,),
    },
    "lenet": {  # seed 000
        "builder": "architectures.lenet:build_lenet",
        "trainer": "model:GANTrainer",
        **_SAMPLES,
        "network": ("z_dim", "g_head", *_LABELS),
        "min_size": 28,
        "multiple_of": 2,
        "mode": "gp",
        "z_dim": 128,
        "z_distribution": "uniform",
        "g_head": "tanh",
    },
    "resnet": {  # seed 003
        "builder": "architectures.resnet:build_resnet",
        "trainer": "model:GANTrainer",
        **_SAMPLES,
        "network": ("z_dim", "g_width", "d_width", "g_norm", *_LABELS),
        "min_size": 16,
        "multiple_of": 8,
        "one_width": True,
        "mode": "gp",
        **_NORMAL,
        "z_dim": 128,
        "g_width": (64,),
        "d_width": (64,),
    },
    "pggan": {  # 1710.10196, whose values these are (appendix A.1)
        "builder": "architectures.pggan.networks:build_pggan",
        "trainer": "architectures.pggan.trainer:PGGAN",
        **_SAMPLES,
        "network": ("z_dim", "fmap_base", "fmap_max", "max_res", "label_mode"),
        "schedule": ("fade_kimg", "stable_kimg"),
        "training": ("fade_kimg", "stable_kimg", "batch_dict"),
        "stages": "architectures.pggan.networks:stages",
        "batches": (
            "architectures.pggan.schedule:batches",
            ("max_res", "batch_size", "batch_dict"),
        ),
        "min_size": 8,
        "multiple_of": 1,
        "square": "max_res",
        "mode": "gp",
        **_NORMAL,
        "z_dim": 512,
        "fmap_base": 8192,
        "fmap_max": 512,
        "epoch": 1_000_000,  # the schedule ends it
        "batch_size": 16,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "beta1": 0.0,
        "beta2": 0.99,
        "epsilon": 1e-8,
        "critic_num": 1,
        "penalty_fraction": 1.0,
        "drift": 0.001,
        "ema": 0.999,
    },
    "cyclegan": {  # 1703.10593, whose values these are (section 4 and the appendix)
        "builder": "architectures.cyclegan.networks:build_cyclegan",
        "trainer": "architectures.cyclegan.trainer:CycleGAN",
        "network": ("g_width", "d_width", "n_residual_blocks", "upsample", "patch", "critic_norm"),
        "schedule": ("pool_size",),
        "training": ("lambda_cycle", "lambda_identity", "pool_size", "decay_epoch"),
        "facts": ("epochs", "per_epoch", "shown"),
        "stages": "architectures.cyclegan.networks:together",
        "reader": "datasets.folders:read_folder",
        "load": "datasets.domains:load",
        "look": "datasets.domains:describe",
        "pictures": "generation.translate:pictures",
        "testing": (
            *("dataset", "data_dir", "sample_dir", "input_fname_pattern"),
            *("translate", "input", "output"),
        ),
        "asks": ("translate", "input", "output"),
        "without": ("conditional", "compare", "evaluate", "eval_every"),
        "does": "turns images of trainA in a folder into such as those of trainB, and back",
        "settles": {"conditional": False, "mirror": True},
        "by_size": {"n_residual_blocks": ((256, 9), (0, 6))},
        "min_size": 24,
        "multiple_of": 4,
        "min_batch": 1,
        "one_width": True,
        "mode": "lsgan",
        "z_distribution": "normal",  # there are no latents
        "output_height": 256,
        "g_width": (64,),
        "d_width": (64,),
        "critic_norm": "instance",  # of each image by itself, so that any mode may have it
        "batch_size": 1,
        "epoch": 200,
        "ema": 0.0,
    },
}

OPTIMIZERS = {  # Keras class, and its keywords by Config field
    "adam": (
        "training.adam:Adam",
        {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"},
    ),
    "rmsprop": (
        "keras.optimizers:RMSprop",
        {"rho": "rho", "epsilon": "epsilon", "momentum": "momentum"},
    ),
    "sgd": ("keras.optimizers:SGD", {"momentum": "momentum"}),
}

# `sweep`: the lowest and highest value that test mode's sweeps go through; `numpy`: code that
# draws the same, for who loads an exported generator.
LATENTS = {
    "uniform": {
        "function": "training.randomness:uniform_latents",
        "sweep": (-1.0, 1.0),
        "numpy": "rng.uniform(-1, 1, {shape})",
    },
    "normal": {
        "function": "training.randomness:normal_latents",
        "sweep": (-2.0, 2.0),
        "numpy": "rng.standard_normal({shape})",
    },
}

# What --export writes: the end of the file's name, what writes it, the code that loads it, and
# the packages that it takes beside those always there.
EXPORTS = {
    "keras": {
        "suffix": ".keras",
        "writer": "generation.export:write_keras",
        "code": "generation.export:KERAS",
    },
    "savedmodel": {
        "suffix": ".savedmodel",
        "writer": "generation.export:write_savedmodel",
        "code": "generation.export:SAVEDMODEL",
    },
    "onnx": {
        "suffix": ".onnx",
        "writer": "generation.export:write_onnx",
        "code": "generation.export:ONNX",
        "packages": ("tf2onnx", "onnx", "onnxruntime"),
    },
}

# On what a run is trained: the processes of TF_CONFIG, where it is set, for those with `cluster`;
# else all `devices` of the first kind that there is any of.
STRATEGIES = {
    "auto": {"cluster": True, "devices": ("GPU",)},
    "none": {"cluster": False, "devices": ()},
    "mirrored": {"cluster": False, "devices": ("GPU", "CPU")},
    "multiworker": {"cluster": True, "devices": ("GPU",)},
}

# What networks compute in; their weights, scores and losses are float32 in any case. `scaled`:
# losses are multiplied before their gradients are taken, which would else be too small for it.
PRECISIONS = {
    "float32": {"policy": "float32", "scaled": False},
    "bfloat16": {"policy": "mixed_bfloat16", "scaled": False},
    "float16": {"policy": "mixed_float16", "scaled": True},
}

# Networks that images are measured through: functions of a shape [H, W, C] that give an
# `evaluate.Extractor`. Any other --extractor is the path of a file.
EXTRACTORS = {
    "mnist-cnn": "evaluation.extractors:mnist_cnn",
    "random-cnn": "evaluation.extractors:random_cnn",
    "inception-v3": "evaluation.extractors:inception_v3",
}

# What --best_by goes by, and whether more of it is better. `swd` needs no extractor.
MEASURES = {
    "fid": {"higher": False},
    "kid": {"higher": False},
    "swd": {"higher": False},
    "precision": {"higher": True},
    "recall": {"higher": True},
}

# A name that is not here is a folder, read by FOLDER's row. `part`: the images that a generator
# is measured against, where they are others than those it is trained on.
FOLDER = {
    "reader": "datasets.folders:read_folder",
    "output_height": 64,
    "extractor": "random-cnn",
    "conditional": False,
    "mirror": False,
}
DATASETS = {
    "mnist": {
        "reader": "datasets.known:read_mnist",
        "part": "test",
        "extractor": "mnist-cnn",
        "input_height": 28,
        "output_height": 28,
        "conditional": True,
        "mirror": False,
    },
    "digits": {
        "reader": "datasets.known:read_digits",
        "extractor": "mnist-cnn",
        "input_height": 8,
        "output_height": 28,
        "conditional": True,
        "mirror": False,
    },
    "cifar10": {
        "reader": "datasets.known:read_cifar10",
        "part": "test",
        "extractor": "random-cnn",
        "input_height": 32,
        "output_height": 32,
        "conditional": True,
        "mirror": False,
    },
    "lsun": {**FOLDER, "reader": "datasets.lsun:read_lsun", "input_height": 256},
    "selfie2anime": {**FOLDER},
    "hair": {**FOLDER, "input_height": 96, "output_height": 48},
    "celebA": {**FOLDER, "input_height": 108, "mirror": True},
    "faces": {**FOLDER, "input_height": 96, "output_height": 48, "mirror": True},
}


def import_object(name):
    """The object that a table names as `module:attribute`, as `losses:wasserstein_critic`."""
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
