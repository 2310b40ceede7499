"""The candidates of `benchmarks.quality`. Data only."""

# Each candidate's changes to the defaults. The data set is MNIST unless it names another set or a
# preset.
_SLOW = {"learning_rate": 5e-4}
_R1 = {"learning_rate": 1e-3, "beta1": 0.0, "beta2": 0.99, "LAMBDA": 2.0, "penalty_every": 8}
_NO_LABELS = {"conditional": False}
CANDIDATES = {
    "default": {},
    "default, no labels": _NO_LABELS,
    "rate 2e-3": {"learning_rate": 2e-3},
    "rate 2e-3, no labels": {"learning_rate": 2e-3, **_NO_LABELS},
    "rate 5e-4": _SLOW,
    "rate 5e-4 for the critic": {"d_learning_rate": 5e-4},
    "rate 5e-4 for the generator": {"learning_rate": 5e-4, "d_learning_rate": 1e-3},
    "beta1 0.5": {"beta1": 0.5},
    "beta1 0.5, rate 5e-4": {"beta1": 0.5, **_SLOW},
    "beta1 0.5, rate 5e-4, no labels": {"beta1": 0.5, **_SLOW, **_NO_LABELS},
    "beta2 0.99": {"beta2": 0.99},
    "normal latents": {"z_distribution": "normal"},
    "rate 5e-4, batch of 32": {"batch_size": 32, **_SLOW},
    "batch of 32": {"batch_size": 32},
    "float32": {"precision": "float32"},  # where the CPU's default is bfloat16
    "rate 5e-4, penalty on the whole batch": {"penalty_fraction": 1.0, **_SLOW},
    "labels concatenated": {"label_mode": "concat"},
    "r1": {"mode": "r1", "LAMBDA": 2.0, "penalty_every": 8, "beta2": 0.99},
    "rpgan": {"mode": "rpgan"},
    "rpgan, penalty at each": {"mode": "rpgan", "penalty_every": 1},
    "rpgan, rate 2e-4": {"mode": "rpgan", "penalty_every": 1, "learning_rate": 2e-4},
    "rpgan, LAMBDA 0.2": {"mode": "rpgan", "penalty_every": 1, "LAMBDA": 0.2},
    "the paper's rate and updates": {"learning_rate": 1e-4, "critic_num": 5},
    "mnist_conditional": {"preset": "mnist_conditional"},
    "wgan_gp_mnist": {"preset": "wgan_gp_mnist"},
    "simple_gan": {"preset": "simple_gan"},
    "faces": {"dataset": "faces"},
    "faces, float32": {"dataset": "faces", "precision": "float32"},
    "faces, rates stay": {"dataset": "faces", "decay_after": 0},
    "rate 2e-3, falls after 1000": {"learning_rate": 2e-3, "decay_after": 1000},
    "falls after 2000": {"decay_after": 2000},
    "falls after 4000": {"decay_after": 4000},
    "faces_r1": {"preset": "faces_r1"},
    "faces_r1, beta1 0.5, rate 5e-4": {"preset": "faces_r1", "beta1": 0.5, **_SLOW},
    "faces_r1, rate 2e-3": {"preset": "faces_r1", "learning_rate": 2e-3},
    "faces_r1, a tenth of the penalty": {"preset": "faces_r1", "LAMBDA": 0.2},
    "faces_r1, widths from 32": {"preset": "faces_r1", "g_width": (32,), "d_width": (32,)},
}
_FACES = {"dataset": "faces", "learning_rate": 1e-3}
CANDIDATES |= {  # changes of gp's former defaults for folders, at a rate of 1e-3
    f"faces, {name}": {**_FACES, **changes}
    for name, changes in {
        "rate 1e-3": {},
        "rate 5e-4": _SLOW,
        "rate 2e-3": {"learning_rate": 2e-3},
        "beta2 0.99": {"beta2": 0.99},
        "normal latents": {"z_distribution": "normal"},
        "widths from 48": {"g_width": (48,), "d_width": (48,)},
        "layer norm": {"critic_norm": "layer"},
        "penalty on the whole batch": {"penalty_fraction": 1.0},
        "penalty every 4th": {"penalty_fraction": 1.0, "penalty_every": 4},
        "LAMBDA 1": {"LAMBDA": 1.0},
        "two critic updates": {"critic_num": 2},
        "r1": {"mode": "r1", **_R1},
        "r1, falls after 2000": {"mode": "r1", **_R1, "decay_after": 2000},
        "rpgan": {"mode": "rpgan"},
        "rpgan, penalty at each": {"mode": "rpgan", "penalty_every": 1},
        "rpgan, penalty every 4th": {"mode": "rpgan", "penalty_every": 4},
        "rpgan, LAMBDA 0.2": {"mode": "rpgan", "penalty_every": 1, "LAMBDA": 0.2},
        "r1, normal latents": {"mode": "r1", **_R1, "z_distribution": "normal"},
        "r1, rate 2e-3": {"mode": "r1", **_R1, "learning_rate": 2e-3},
        "rate 2e-3, normal latents": {"learning_rate": 2e-3, "z_distribution": "normal"},
        "rate 2e-3, beta2 0.99": {"learning_rate": 2e-3, "beta2": 0.99},
        "rpgan, rate 2e-3": {"mode": "rpgan", "penalty_every": 1, "learning_rate": 2e-3},
        "rate 4e-3": {"learning_rate": 4e-3},
        "rate 2e-3, two critic updates": {"learning_rate": 2e-3, "critic_num": 2},
    }.items()
}
AUGMENTS = {
    "no augmentation": ("none",),
    "color": ("color",),
    "translation": ("translation",),
    "cutout": ("cutout",),
    "color, translation, cutout": ("color", "translation", "cutout"),
    "ada": ("ada",),
}
CANDIDATES |= {  # few images: measured against the faces that are not trained on
    f"{size} {kind}, {name}": {**flags, "train_size": size, "augment": augment}
    for size in (100, 300, 500, 1000, 3000, 16000)
    for kind, flags in {"faces": _FACES, "faces, r1": CANDIDATES["faces, r1"], "digits": {}}.items()
    for name, augment in AUGMENTS.items()
}
CANDIDATES |= {  # the present defaults, and these with other augmentations
    f"{size} faces, default{name}": {"dataset": "faces", "train_size": size, **changes}
    for size in (100, 300, 1000, 3000)
    for name, changes in {
        "": {},
        ", no augmentation": {"augment": ("none",)},
        ", ada": {"augment": ("ada",)},
        ", augmented": {"augment": ("color", "translation", "cutout"), "augment_p": 0.3},
    }.items()
}
CANDIDATES["faces, translation"] = {
    "dataset": "faces",
    "augment": ("translation",),
    "augment_p": 0.3,
}
CANDIDATES |= {  # which network? All faces, or 1,000 of them, at 64x64
    f"64x64{words}, {name}": {
        "dataset": "faces",
        "output_height": 64,
        "train_size": size,
        **network,
    }
    for words, size in {"": 0, ", 1000 faces": 1000}.items()
    for name, network in {
        "dcgan": {},
        "sngan": {"arch": "sngan", "g_width": (32,), "d_width": (32,)},
        "resnet": {"arch": "resnet", "g_width": (16,), "d_width": (16,)},
        "fastgan, hinge": {"preset": "fastgan_hinge"},
        "fastgan": {"arch": "fastgan"},
        "pggan": {"preset": "pggan_faces"},
    }.items()
}
_BLONDE = {"dataset": "data/hair/trainB", "output_height": 48, "train_size": 300}
CANDIDATES |= {  # after data/make_hair_domains.py
    "300 blonde faces": _BLONDE,
    "300 blonde faces, widths from 48": {**_BLONDE, "g_width": (48,), "d_width": (48,)},
}
CANDIDATES |= {  # faces_64_48_48 was trained in mode gp, at 2.6e-4 in the end
    f"300 blonde faces, from faces_64_48_48{name}": {
        **_BLONDE,
        "init_from": "faces_64_48_48",
        **changes,
    }
    for name, changes in {
        "": {},
        ", rate 5e-4": {"learning_rate": 5e-4},
        ", rate 2e-3": {"learning_rate": 2e-3},
    }.items()
}
STACKED = {"gp": {}, "r1": {"mode": "r1", **_R1}, "rpgan": {"mode": "rpgan", "penalty_every": 1}}
