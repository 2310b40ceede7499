"""The tables of modes, penalties, architectures, optimizers, data sets, extractors and others.

Data only. `rows.py` describes the attributes of each kind of row.
"""

from config.network_rows import Architecture, Growth, Task
from config.rows import (
    Augmentation,
    Dataset,
    Export,
    Extractor,
    Latents,
    Measure,
    Mode,
    Optimizer,
    Penalty,
    Precision,
    Strategy,
)

# The length of a run without --epoch, --max_steps and --max_minutes: this many epochs or generator
# updates, whichever is more.
DEFAULT_EPOCHS, DEFAULT_UPDATES = 25, 16_000
FEW_IMAGES = 1_000  # fewer colour training images of a folder are augmented

# The images that are held out by default: one of every HOLDOUT_PART, at most MAX_HOLDOUT, if there
# are at least HOLDOUT_FROM images.
HOLDOUT_FROM, HOLDOUT_PART, MAX_HOLDOUT = 1_000, 10, 2_000

_ADAM = {"optimizer": "adam", "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}
_LOGISTIC = {
    "critic_loss": "losses:logistic_critic",
    "generator_loss": "losses:logistic_generator",
    "gap": "logit_gap",
    "logits": True,
    "neutral": 0.0,
}
_WASSERSTEIN = {
    "critic_loss": "losses:wasserstein_critic",
    "generator_loss": "losses:wasserstein_generator",
    "gap": "wasserstein",
}
# The settings of DCGAN (1511.06434), which most modes use.
_DCGAN = {**_ADAM, "learning_rate": 2e-4, "critic_num": 1, "critic_norm": "none"}

MODES = {
    "gp": Mode(  # WGAN-GP, 1704.00028
        **_WASSERSTEIN,
        # The best settings in benchmarks/quality.py at equal time: one critic update (paper: five),
        # ten times the paper's learning rate, and a penalty on a quarter of the batch. beta1 and
        # beta2 are the paper's. The presets have the published values.
        defaults={
            **_ADAM,
            "penalty": "gp",
            "learning_rate": 1e-3,
            "beta1": 0.0,
            "beta2": 0.9,
            "critic_num": 1,
            "penalty_fraction": 0.25,
            "critic_norm": "none",
        },
    ),
    "regular": Mode(  # WGAN with weight clipping, 1701.07875
        **_WASSERSTEIN,
        clip=("clip_down", "clip_up"),
        defaults={
            "penalty": "none",
            "optimizer": "rmsprop",
            "learning_rate": 5e-5,
            "rho": 0.99,
            "epsilon": 1e-16,  # Keras adds it inside the root, PyTorch 1e-8 outside
            "critic_num": 5,
            "critic_norm": "batch",
        },
    ),
    "div": Mode(  # WGAN-div, 1712.01026
        **_WASSERSTEIN, defaults={**_DCGAN, "penalty": "div", "critic_num": 5}
    ),
    "gan": Mode(  # non-saturating GAN, 1406.2661
        **_LOGISTIC, defaults={**_DCGAN, "penalty": "none", "critic_norm": "batch"}
    ),
    "lsgan": Mode(  # 1611.04076
        critic_loss="losses:least_squares_critic",
        generator_loss="losses:least_squares_generator",
        gap="score_gap",
        neutral=0.5,
        defaults={**_DCGAN, "penalty": "none", "critic_norm": "batch"},
    ),
    "hinge": Mode(  # 1705.02894
        critic_loss="losses:hinge_critic",
        generator_loss="losses:wasserstein_generator",
        gap="score_gap",
        neutral=0.0,
        defaults={**_DCGAN, "penalty": "none"},
    ),
    "dragan": Mode(**_LOGISTIC, defaults={**_DCGAN, "penalty": "dragan"}),  # 1705.07215
    "r1": Mode(**_LOGISTIC, defaults={**_DCGAN, "penalty": "r1"}),  # 1801.04406
    "rpgan": Mode(  # relativistic pairing, R3GAN, 2501.05441
        critic_loss="losses:relativistic_critic",
        generator_loss="losses:relativistic_generator",
        gap="score_gap",
        paired=True,
        # The paper's gamma is 0.05 to 150, depending on the data set. Its beta1 is 0. The learning
        # rate is the better of two in docs/results.md.
        defaults={
            **_DCGAN,
            "penalty": "r1r2",
            "penalty_every": 8,  # as good as at each update, and faster: docs/results.md
            "LAMBDA": 1.0,
            "learning_rate": 1e-3,
            "beta1": 0.0,
            "beta2": 0.99,
        },
    ),
}

MODE_ALIASES = {"wgan-gp": "gp", "wgan": "regular", "wgan-div": "div"}

# Keys are values of --penalty. The default of a mode is in its row.
_R1 = Penalty("losses:reals", "losses:half_square", {"weight": "LAMBDA"})
_R2 = Penalty("losses:fakes", "losses:half_square", {"weight": "LAMBDA"})
PENALTIES = {
    "none": (),
    "gp": (Penalty("losses:interpolates", "losses:one_centred", {"weight": "LAMBDA"}),),
    "div": (Penalty("losses:interpolates", "losses:power", {"weight": "div_k", "power": "div_p"}),),
    "r1": (_R1,),
    "r2": (_R2,),
    "r1r2": (_R1, _R2),
    "dragan": (Penalty("losses:perturbed_reals", "losses:one_centred", {"weight": "LAMBDA"}),),
}

AUGMENTATIONS = {  # keys are values of --augment
    "color": Augmentation(("augmentation.diffaugment:color",)),
    "translation": Augmentation(("augmentation.diffaugment:translation",)),
    "cutout": Augmentation(("augmentation.diffaugment:cutout",)),
    "ada": Augmentation(("augmentation.ada:geometry", "augmentation.ada:color"), adaptive=True),
}

GENERATION = Task(
    does="generates images from latents",
    asks=(
        *("num_samples", "dump_reals", "seeds", "latents", "project", "label", "truncation"),
        *("interpolate", "mix", "visualize", "directions", "move"),
    ),
    load="datasets.packed:load",
    describe="datasets.packed:describe",
    pictures="commands.generate:samples",
    page="commands.generate:sample_page",
    measures=("fid", "kid", "swd", "precision", "recall"),
    evaluation="commands.evaluate:build_evaluation",
    measure="commands.evaluate:measure_samples",
    measure_bytes="evaluation.parts:memory_bytes",
    facts=("class_counts",),
)
TRANSLATION = Task(
    does="translates images between the folders trainA and trainB",
    asks=("translate", "input", "output"),
    refuses=("conditional", "compare", "holdout", "eval_reals"),
    no_jit="XLA had not compiled its step after six minutes of a GPU",
    settles={"conditional": False, "mirror": True, "augment": ("none",)},
    reader="datasets.folders:read_folder",
    load="datasets.domains:load",
    describe="datasets.domains:describe",
    pictures="commands.generate:translations",
    page="commands.generate:translation_page",
    measures=("fid", "kid", "cycle"),
    evaluation="commands.evaluate:build_translation",
    measure="commands.evaluate:measure_translations",
    measure_bytes="evaluation.translation:memory_bytes",
    facts=("epochs", "per_epoch", "shown"),
    min_batch=1,  # instance norm normalises each image separately
)

_DECAY = ("decay_steps", "decay_after")
# A single width is the base width, which doubles at each halving of the size. Several widths are
# the widths of all layers, from the input to the output: (512, 256, 128, 64).
_NORMAL = {"z_dim": 100, "z_distribution": "normal"}
_CRITIC = ("critic_norm", "label_mode")
ARCHS = {
    "dcgan": Architecture(  # 1511.06434
        builder="model:build_dcgan",
        trainer="model:GANTrainer",
        task=GENERATION,
        network=(
            *("z_dim", "g_width", "d_width", "fc_width", "kernel_size", "bias", "g_norm"),
            *_CRITIC,
        ),
        training=_DECAY,
        min_size=8,
        multiple_of=1,
        defaults={
            "mode": "gp",
            "z_dim": 100,
            "z_distribution": "uniform",
            "g_width": (32,),
            "d_width": (32,),
            "fc_width": 0,
            "kernel_size": 4,
        },
        # docs/results.md, "Settings for colour folders"
        in_folder={"gp": {"learning_rate": 2e-3, "decay_after": 1000}},
        few_colour={  # docs/results.md, "A fixed strength"
            "gp": {"augment": ("color", "translation", "cutout"), "augment_p": 0.3}
        },
    ),
    "mlp": Architecture(  # seed 001's SimpleGAN
        builder="architectures.mlp:build_mlp",
        trainer="model:GANTrainer",
        task=GENERATION,
        network=("z_dim", "g_width", "d_width", *_CRITIC),
        training=_DECAY,
        min_size=8,
        multiple_of=1,
        defaults={"mode": "gp", **_NORMAL, "z_dim": 64, "g_width": (256,), "d_width": (128,)},
    ),
    "lenet": Architecture(  # seed 000
        builder="architectures.lenet:build_lenet",
        trainer="model:GANTrainer",
        task=GENERATION,
        network=("z_dim", "g_head", *_CRITIC),
        training=_DECAY,
        min_size=28,
        multiple_of=2,
        defaults={"mode": "gp", "z_dim": 128, "z_distribution": "uniform", "g_head": "tanh"},
    ),
    "resnet": Architecture(  # seed 003
        builder="architectures.resnet:build_resnet",
        trainer="model:GANTrainer",
        task=GENERATION,
        network=("z_dim", "g_width", "d_width", "g_norm", *_CRITIC),
        training=_DECAY,
        min_size=16,
        multiple_of=8,
        one_width=True,
        defaults={"mode": "gp", **_NORMAL, "z_dim": 128, "g_width": (64,), "d_width": (64,)},
    ),
    "sngan": Architecture(  # values of 1802.05957, appendix B.4, CIFAR-10
        builder="architectures.sngan:build_sngan",
        trainer="model:GANTrainer",
        task=GENERATION,
        network=("z_dim", "g_width", "d_width", "g_norm", "blocks", *_CRITIC),
        training=_DECAY,
        min_size=16,
        multiple_of=8,
        one_width=True,
        defaults={
            "mode": "hinge",
            **_NORMAL,
            "z_dim": 128,
            "g_width": (256,),
            "d_width": (128,),
            "critic_norm": "spectral",
            "critic_num": 5,
            "beta1": 0.0,
            "beta2": 0.9,
        },
    ),
    "fastgan": Architecture(  # 2101.04775, and the authors' code, whose widths are 64
        builder="architectures.fastgan:build_fastgan",
        trainer="model:GANTrainer",
        task=GENERATION,
        network=("z_dim", "g_width", "d_width", "g_norm", "lambda_reconstruction", *_CRITIC),
        training=_DECAY,
        min_size=64,
        multiple_of=64,
        one_width=True,
        # docs/results.md, "FastGAN's loss". The preset fastgan_hinge has the authors' settings.
        defaults={
            "mode": "rpgan",
            **_NORMAL,
            "z_dim": 256,
            "g_width": (8,),
            "d_width": (16,),
            "batch_size": 16,
            "augment": ("color", "translation"),
        },
        in_folder={"rpgan": {"decay_after": 4000}},
    ),
    "pggan": Architecture(  # values of 1710.10196, appendix A.1
        builder="architectures.pggan.networks:build_pggan",
        trainer="architectures.pggan.trainer:PGGAN",
        task=GENERATION,
        network=("z_dim", "fmap_base", "fmap_max", "max_res", *_CRITIC),
        training=("fade_kimg", "stable_kimg", "final_kimg", "batch_dict"),
        fixed=("fade_kimg", "stable_kimg"),
        usual="--fade_kimg, --stable_kimg and --final_kimg set their number",
        stages="architectures.pggan.networks:stages",
        growth=Growth(
            size="max_res",
            batches="architectures.pggan.schedule:batches",
            batch_fields=("max_res", "batch_size", "batch_dict"),
        ),
        min_size=8,
        multiple_of=1,
        defaults={
            "mode": "gp",
            **_NORMAL,
            "z_dim": 512,
            "fmap_base": 8192,
            "fmap_max": 512,
            "epoch": 1_000_000,  # the growth schedule ends the run
            "batch_size": 16,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "beta1": 0.0,
            "beta2": 0.99,
            "epsilon": 1e-8,
            "critic_num": 1,
            "critic_norm": "none",
            "penalty_fraction": 1.0,
            "drift": 0.001,
            "ema": 0.999,
        },
    ),
    "cyclegan": Architecture(  # values of 1703.10593, section 4 and appendix
        builder="architectures.cyclegan.networks:build_cyclegan",
        trainer="architectures.cyclegan.trainer:CycleGAN",
        task=TRANSLATION,
        network=("g_width", "d_width", "n_residual_blocks", "upsample", "patch", "critic_norm"),
        training=("lambda_cycle", "lambda_identity", "pool_size", "decay_epoch"),
        fixed=("pool_size",),
        usual="100 to 200 epochs are usual",
        stages="architectures.cyclegan.networks:step_networks",
        min_size=24,
        multiple_of=4,
        one_width=True,
        defaults={
            "mode": "lsgan",
            "z_distribution": "normal",  # unused: it has no latents
            "output_height": 256,
            "g_width": (64,),
            "d_width": (64,),
            "critic_norm": "instance",  # does not mix images, so every penalty allows it
            "batch_size": 1,
            "epoch": 200,
            "ema": 0.0,
        },
    ),
}

OPTIMIZERS = {
    "adam": Optimizer(
        "training.adam:Adam", {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"}
    ),
    "rmsprop": Optimizer(
        "keras.optimizers:RMSprop", {"rho": "rho", "epsilon": "epsilon", "momentum": "momentum"}
    ),
    "sgd": Optimizer("keras.optimizers:SGD", {"momentum": "momentum"}),
}

LATENTS = {
    "uniform": Latents(
        "training.randomness:uniform_latents",
        (-1.0, 1.0),
        "rng.uniform(-1, 1, {shape})",
        "training.randomness:scaled_uniform_latents",
        "\nz *= {truncation}  # truncation",
        bound=1.0,
    ),
    "normal": Latents(
        "training.randomness:normal_latents",
        (-2.0, 2.0),
        "rng.standard_normal({shape})",
        "training.randomness:truncated_normal_latents",
        "\nwhile (far := np.abs(z) > {truncation}).any():  # truncation\n"
        "    z[far] = rng.standard_normal(far.sum())",
    ),
}

EXPORTS = {
    "keras": Export(".keras", "generation.export:write_keras", "generation.export:KERAS"),
    "savedmodel": Export(
        ".savedmodel", "generation.export:write_savedmodel", "generation.export:SAVEDMODEL"
    ),
    "onnx": Export(
        ".onnx",
        "generation.export:write_onnx",
        "generation.export:ONNX",
        packages=("tf2onnx", "onnx", "onnxruntime"),
    ),
}

STRATEGIES = {
    "auto": Strategy(cluster=True, devices=("GPU",)),
    "none": Strategy(cluster=False, devices=()),
    "mirrored": Strategy(cluster=False, devices=("GPU", "CPU")),
    "multiworker": Strategy(cluster=True, devices=("GPU",)),
}

PRECISIONS = {
    "float32": Precision("float32", scaled=False),
    "bfloat16": Precision("mixed_bfloat16", scaled=False),
    "float16": Precision("mixed_float16", scaled=True),
}

# What --jit and --precision are unless given: on a CPU, one that multiplies in bfloat16 by
# instructions of its own, one GPU and several. A precision here is not `scaled`, so that a run can
# go on on any device.
DEVICES = {
    "cpu": {"jit": False, "precision": "float32"},
    # docs/results.md, "bfloat16 on a CPU"
    "cpu with bfloat16": {"jit": False, "precision": "bfloat16"},
    "gpu": {"jit": False, "precision": "float32"},  # `make gpu-check` tries the others
    "gpus": {"jit": False, "precision": "float32"},  # XLA is for one replica
}

# The keys are also the names of the packages. TensorBoard is always written.
TRACKERS = {
    "wandb": "runs.tracking.wandb_run:WandbRun",
    "mlflow": "runs.tracking.mlflow_run:MlflowRun",
}

# Any other value of --extractor is the path of a file.
EXTRACTORS = {
    "mnist-cnn": Extractor("evaluation.extractors:mnist_cnn"),
    # Blurred images lie close together: their precision rises.
    "random-cnn": Extractor("evaluation.extractors:random_cnn", misleads=("precision",)),
    "inception-v3": Extractor("evaluation.extractors:inception_v3"),
    "inception-2015": Extractor("evaluation.inception.extractor:build", weights=True),
}

MEASURES = {  # `swd` and `cycle` need no extractor
    "fid": Measure(higher=False),
    "kid": Measure(higher=False),
    "swd": Measure(higher=False),
    "cycle": Measure(higher=False),
    "precision": Measure(higher=True),
    "recall": Measure(higher=True),
}


def _folder(reader="datasets.folders:read_folder", **defaults):
    """Return the row of a folder of images."""
    plain = {"output_height": 64, "extractor": "random-cnn", "conditional": False}
    return Dataset(
        reader,
        {**plain, **defaults},
        in_folder=True,
        colour={"mirror": True},
        few_colour={"augment": ("ada",)},  # see docs/results.md, "Few faces"
        few_arch="fastgan",  # "Which network?"
    )


_DIGITS = {"output_height": 28, "extractor": "mnist-cnn", "conditional": True, "mirror": False}
FOLDER = _folder()  # for any data set without a row
DATASETS = {
    "mnist": Dataset(
        "datasets.known:read_mnist", {**_DIGITS, "input_height": 28}, test_part="test"
    ),
    "fashion_mnist": Dataset(
        "datasets.known:read_fashion_mnist",
        {**_DIGITS, "input_height": 28, "extractor": "random-cnn"},
        test_part="test",
    ),
    "digits": Dataset("datasets.known:read_digits", {**_DIGITS, "input_height": 8}),
    "cifar10": Dataset(
        "datasets.known:read_cifar10",
        {
            "extractor": "random-cnn",
            "input_height": 32,
            "output_height": 32,
            "conditional": True,
            "mirror": False,
        },
        test_part="test",
    ),
    "lsun": _folder("datasets.folders:read_lsun", input_height=256),
    "selfie2anime": _folder(),
    "hair": _folder(input_height=96, output_height=48),
    "celebA": _folder(input_height=108),
    "faces": _folder(input_height=96, output_height=48),
}
