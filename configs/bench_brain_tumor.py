"""Slices of brain MRI at 64×64, with or without one of three tumours: CAE, baselines and controls on 256 of them.

    cae compare --config configs/bench_brain_tumor.py --config.train.data.name=SLICES.csv

The table names a slice's file, its label and, as `group`, its patient, so that no patient is in two splits. Neither it
nor the slices are part of the project. A classifier of one's own is named as in training
(`--config.train.classifier.path=model.onnx`): where it shows no gradients, methods that need them are given its
student, and the tables mark them.
"""

from cae_jax.config import Config
from cae_jax.config.protocol import bench_config


def get_config() -> Config:
    config = bench_config("folder", {"data.name": "data/brain_tumor/slices.csv", "data.table.group": "group"})
    config.train.data.channels = 1
    config.protocol.images = 256
    config.protocol.patch = 4
    config.protocol.steps = 32
    return config
