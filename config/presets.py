"""The presets: named sets of settings. Data only."""

from config.rows import Preset

# `mnist` and `anime` in a preset's name are the data set of the seed program.
_NORMAL = {"z_dim": 100, "z_distribution": "normal"}
_GP = {"mode": "gp", "penalty_fraction": 1.0}
_SEED_001 = {"arch": "dcgan", "dataset": "mnist", "conditional": False, **_NORMAL, "ema": 0.0}
_SEED_001 |= {"output_height": 64, "kernel_size": 4, "bias": "unnormed"}
_SEED_001_F64 = {"g_width": (1024, 512, 256, 128), "d_width": (64, 128, 256, 512)}
_ADAM_2E_4 = {"optimizer": "adam", "learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
# PyTorch adds 1e-8 outside the root, which is 1e-16 inside it.
_RMSPROP = {"optimizer": "rmsprop", "rho": 0.99, "epsilon": 1e-16}
_SEED_002 = {
    "arch": "dcgan",
    **_GP,
    "kernel_size": 5,
    "z_dim": 100,
    "z_distribution": "uniform",
    "optimizer": "rmsprop",
    "learning_rate": 2e-4,
    "rho": 0.9,
    "epsilon": 1e-10,
    "critic_num": 5,
    "critic_bursts": True,
    "label_mode": "concat",
    "bias": "all",
    "batch_size": 64,
    "ema": 0.0,
    "mirror": False,
    "augment": ("none",),
}
_SEED_003 = {"arch": "resnet", "dataset": "cifar10", "conditional": False}
_SEED_003 |= {"output_height": 64, "batch_size": 64, "critic_num": 5, "ema": 0.0, "seed": 42}
_SEED_003 |= {"epoch": 129}  # 129 epochs · 781 = 100,749 generator updates
_SEED_004 = {"arch": "dcgan", "dataset": "faces", "output_height": 64}
_SEED_004 |= {"g_width": (512, 256, 128, 64), "d_width": (64, 128, 256, 512), **_NORMAL}
_SEED_004 |= {"kernel_size": 4, "bias": "none", "batch_size": 128, "epoch": 50, "ema": 0.0}
_SEED_004 |= {"mirror": False, "augment": ("none",)}
PRESETS = {
    "digits": Preset(  # for `make train`; two minutes on two CPU cores
        "ours",
        {
            "dataset": "digits",
            "mode": "gp",
            "epoch": 100,
        },
    ),
    "faces_r1": Preset(  # hours on two CPU cores
        "ours",
        {
            "dataset": "faces",
            "mode": "r1",
            "learning_rate": 1e-3,
            "beta1": 0.0,
            "beta2": 0.99,
            "g_width": (48,),
            "d_width": (48,),
            "LAMBDA": 2.0,
            "penalty_every": 8,
            "epoch": 200,
        },
    ),
    "fastgan_hinge": Preset(  # 2101.04775, and the authors' code, whose widths are 64
        "ours",
        {
            "arch": "fastgan",
            "dataset": "faces",
            "output_height": 64,
            "mode": "hinge",
            "critic_norm": "batch",  # and spectral norm
        },
    ),
    "pggan_faces": Preset(  # 64x64 pixels; hours on two CPU cores
        "ours",
        {
            "arch": "pggan",
            "dataset": "faces",
            "mode": "gp",
            "max_res": 64,
            "z_dim": 128,
            "fmap_base": 1024,
            "fmap_max": 128,
            "fade_kimg": 10.0,
            "stable_kimg": 10.0,
            "final_kimg": 600.0,
            "sample_every": 500,
            "save_every": 1000,
        },
    ),
    "pggan_faces_32": Preset(  # 32x32; an hour and a half on one CPU core; in the repository
        "ours",
        {
            "arch": "pggan",
            "dataset": "faces",
            "mode": "gp",
            "max_res": 32,
            "z_dim": 128,
            "fmap_base": 512,
            "fmap_max": 64,
            "fade_kimg": 10.0,
            "stable_kimg": 10.0,
            "final_kimg": 600.0,
            "batch_dict": "4:64,8:64,16:32",
            "penalty_fraction": 0.25,
            "sample_every": 250,
            "save_every": 1000,
        },
    ),
    "pggan_1024": Preset(  # 1710.10196, appendix A.1; the paper uses CelebA-HQ
        "004",
        {
            "arch": "pggan",
            "dataset": "celebA",
            "mode": "gp",
            "max_res": 1024,
            "mirror": True,
        },
    ),
    "mnist_conditional": Preset(
        "002",
        {
            **_SEED_002,
            "dataset": "mnist",
            "epoch": 50,
            "g_width": (128, 128),
            "d_width": (11, 74),
            "fc_width": 1024,
        },
    ),
    "faces": Preset(
        "002",
        {
            **_SEED_002,
            "dataset": "faces",
            "epoch": 200,
            "input_height": 96,
            "output_height": 48,
            "g_width": (512, 256, 128, 64),
            "d_width": (64, 128, 256, 512),
        },
    ),
    "lenet_mnist": Preset(
        "000",
        {
            "critic_num": 5,
            "arch": "lenet",
            "dataset": "mnist",
            "conditional": False,
            **_GP,
            "g_head": "orig",
            **_ADAM_2E_4,
            "learning_rate": 5e-4,
            "beta1": 0.9,
            "beta2": 0.99,
            "batch_size": 128,
            "epoch": 200,
            "ema": 0.0,
        },
    ),
    "simple_gan": Preset(
        "001",
        {
            "arch": "mlp",
            "dataset": "mnist",
            "conditional": False,
            "mode": "gan",
            "critic_norm": "none",
            **_ADAM_2E_4,
            "learning_rate": 1e-4,
            "beta1": 0.9,
            "batch_size": 32,
            "epoch": 50,
            "ema": 0.0,
        },
    ),
    "dcgan_mnist": Preset(
        "001",
        {
            **_SEED_001,
            **_SEED_001_F64,
            "mode": "gan",
            **_ADAM_2E_4,
            "batch_size": 128,
            "epoch": 5,
        },
    ),
    "wgan_mnist": Preset(
        "001",
        {
            **_SEED_001,
            **_SEED_001_F64,
            "mode": "regular",
            "z_dim": 128,
            "critic_norm": "instance",
            **_RMSPROP,
            "learning_rate": 5e-5,
            "batch_size": 64,
            "epoch": 5,
        },
    ),
    "wgan_gp_mnist": Preset(
        "001",
        {
            **_SEED_001,
            "g_width": (256, 128, 64, 32),
            "d_width": (16, 32, 64, 128),
            **_GP,
            "critic_num": 5,
            "critic_norm": "instance",
            **_ADAM_2E_4,
            "learning_rate": 1e-4,
            "beta1": 0.0,
            "beta2": 0.9,
            "batch_size": 64,
            "epoch": 100,
        },
    ),
    "resnet_gan": Preset(
        "003",
        {
            **_SEED_003,
            "mode": "gan",
            "optimizer": "sgd",
            "learning_rate": 2e-4,
            "momentum": 0.9,
        },
    ),
    "resnet_wgan": Preset(
        "003", {**_SEED_003, "mode": "regular", **_RMSPROP, "learning_rate": 5e-5}
    ),
    "resnet_wgan_gp": Preset(
        "003",
        {
            **_SEED_003,
            **_GP,
            "g_norm": "none",
            **_ADAM_2E_4,
            "learning_rate": 1e-4,
            "beta2": 0.9,
        },
    ),
    "resnet_wgan_div": Preset("003", {**_SEED_003, "mode": "div", **_ADAM_2E_4}),
    # The WGAN-GP of kwotsin/mimicry (2005.02494) for CIFAR-10: the table "Training Parameters" of
    # its README, and torch_mimicry/nets/wgan_gp. The last updates of the 129 epochs do not count.
    "mimicry_wgan_gp_cifar10": Preset(
        "mimicry",
        {
            "arch": "sngan",
            "blocks": "mimicry",
            "dataset": "cifar10",
            "conditional": False,
            **_GP,
            "critic_norm": "none",
            "critic_num": 5,
            "LAMBDA": 10.0,
            **_ADAM_2E_4,
            "beta1": 0.0,
            "beta2": 0.9,
            "epsilon": 1e-8,
            "z_dim": 128,
            "z_distribution": "normal",
            "g_width": (256,),
            "d_width": (128,),
            "batch_size": 64,
            "decay_steps": 100_000,
            "max_steps": 100_000,
            "epoch": 129,  # 129 epochs of 781 are 100,749 generator updates, for a call without it
            "ema": 0.0,
        },
    ),
    "cyclegan_hair": Preset(  # an hour on one CPU core
        "ours",
        {
            "arch": "cyclegan",
            "dataset": "hair",
            "mode": "lsgan",
            "output_height": 48,
            "g_width": (24,),
            "d_width": (32,),
            "n_residual_blocks": 4,
            "upsample": "nearest",
            "lambda_identity": 1.0,
            "batch_size": 2,
            "epoch": 24,
            "ema": 0.999,
        },
    ),
    "cyclegan_selfie2anime": Preset(
        "004",
        {
            "arch": "cyclegan",
            "dataset": "selfie2anime",
            "mode": "lsgan",
            "output_height": 64,
            "n_residual_blocks": 9,
            "upsample": "nearest",
            "patch": "16",
            "lambda_cycle": 10.0,
            "lambda_identity": 5.0,
            "batch_size": 64,
            "epoch": 200,
            "decay_epoch": 100,
            **_ADAM_2E_4,
        },
    ),
    "anime_dcgan": Preset("004", {**_SEED_004, "mode": "gan", **_ADAM_2E_4}),
    "anime_wgan": Preset(
        "004", {**_SEED_004, "mode": "regular", **_RMSPROP, "learning_rate": 2e-4}
    ),
    "anime_wgan_gp": Preset("004", {**_SEED_004, **_GP, "critic_num": 5, **_ADAM_2E_4}),
    "anime_wgan_div": Preset("004", {**_SEED_004, "mode": "div", **_ADAM_2E_4, "epoch": 100}),
}
