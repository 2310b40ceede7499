"""The groups of the flags in `--help`, docs/flags.md and the first lines of a training.

A test checks that each flag is in one group.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FlagGroup:
    """Flags that belong together.

    Attributes:
      title: short name; the first word of a line of settings.
      about: what the flags are for.
      common: the fields that `--help` shows.
      rare: the fields that only `--help all` and docs/flags.md show.
    """

    title: str
    about: str
    common: tuple[str, ...]
    rare: tuple[str, ...] = ()

    @property
    def fields(self):
        """All fields of the group."""
        return (*self.common, *self.rare)


GROUPS = (
    FlagGroup(
        "call",
        "what the call does; without these flags, it makes pictures",
        ("train", "compare", "evaluate", "export", "serve", "list", "list_presets", "dry_run"),
    ),
    FlagGroup(
        "images",
        "the images to train on",
        ("dataset", "output_height", "output_width", "conditional", "mirror", "augment"),
        (
            *("data_dir", "cache_dir", "input_fname_pattern", "train_size", "holdout"),
            *("crop", "input_height", "input_width", "background", "augment_p", "num_workers"),
        ),
    ),
    FlagGroup(
        "length",
        "how long to train, and when to stop",
        ("epoch", "max_steps", "max_minutes", "patience"),
    ),
    FlagGroup(
        "start",
        "where a training starts, and what it is called",
        ("preset", "name", "resume", "init_from"),
        ("freeze_critic",),
    ),
    FlagGroup(
        "loss",
        "the adversarial loss and the penalty of the critic",
        ("mode", "penalty", "LAMBDA"),
        (
            *("div_k", "div_p", "penalty_every", "penalty_fraction", "drift"),
            *("clip_down", "clip_up"),
        ),
    ),
    FlagGroup(
        "networks",
        "the generator and the critic",
        ("arch", "g_width", "d_width", "z_dim"),
        (
            *("z_distribution", "fc_width", "kernel_size", "bias", "g_norm", "g_head"),
            *("critic_norm", "label_mode", "ema", "blocks"),
        ),
    ),
    FlagGroup(
        "growth",
        "networks that grow: --arch pggan",
        (),
        (
            "max_res",
            "fmap_base",
            "fmap_max",
            "fade_kimg",
            "stable_kimg",
            "final_kimg",
            "batch_dict",
        ),
    ),
    FlagGroup(
        "fastgan",
        "networks for few images: --arch fastgan",
        (),
        ("lambda_reconstruction",),
    ),
    FlagGroup(
        "cycle",
        "translation between two kinds of images: --arch cyclegan",
        (),
        (
            *("n_residual_blocks", "upsample", "patch", "lambda_cycle", "lambda_identity"),
            *("pool_size", "decay_epoch"),
        ),
    ),
    FlagGroup(
        "updates",
        "batches, learning rates and optimizers",
        ("batch_size", "learning_rate", "d_learning_rate", "critic_num", "seed"),
        (
            *("optimizer", "beta1", "beta2", "rho", "epsilon", "momentum", "critic_bursts"),
            *("on_nan", "decay_steps", "decay_after"),
        ),
    ),
    FlagGroup(
        "saves",
        "log lines, pictures, checkpoints and their folders",
        ("checkpoint_dir", "sample_dir"),
        ("log_dir", "log_every", "sample_every", "save_every", "track"),
    ),
    FlagGroup(
        "measures",
        "how good the samples are",
        ("eval_every", "eval_samples"),
        ("eval_reals", "extractor", "extractor_weights", "best_by", "dump_reals"),
    ),
    FlagGroup(
        "pictures",
        "test mode: pictures of a trained generator",
        (
            "label",
            "num_samples",
            "seeds",
            "truncation",
            "interpolate",
            "directions",
            "move",
            "project",
        ),
        ("mix", "visualize", "latents", "translate", "input", "output"),
    ),
    FlagGroup(
        "machine",
        "devices and speed",
        ("device",),
        ("strategy", "precision", "jit"),
    ),
    FlagGroup(
        "page",
        "where --serve listens",
        (),
        ("host", "port"),
    ),
)

# A setting, and another one without which it has no effect.
NEEDS = {
    "input_height": "crop",
    "input_width": "crop",
    "label_mode": "conditional",
    "z_distribution": "z_dim",
    "augment_p": "augment",
    "penalty_fraction": "penalty",
    "eval_reals": "eval_every",
    "extractor": "eval_every",
    "extractor_weights": "eval_every",
    "eval_samples": "eval_every",
    "best_by": "eval_every",
}
OFF = (None, False, 0, "none", ("none",))
OFF_AT_0 = ("train_size", "holdout", "drift", "momentum", "fc_width", "freeze_critic", "eval_every")
