"""The configs of the paper's data sets, on generated folders of the layouts that their docstrings give."""

import jax
import numpy as np
import pytest
from test_layouts import draw, published

from cae_jax.config.reading import find_config, load_config
from cae_jax.config.settings import file_settings
from cae_jax.data import open_dataset
from cae_jax.parallel.sharding import data_mesh
from cae_jax.training.build import build_trainer

SIZES = [(300, 270), (496, 512), (260, 340)]  # as those images, none is square or of another's size


def folders(root, names, splits=("",), count=10):
    for split in splits:
        for label, name in enumerate(names):
            for number in range(count):
                path = root / split / name / f"{name}-{number}.jpeg"
                draw(path, (len(split), label, number), SIZES[number % 3])


LAYOUTS = {
    "oct": (lambda root: folders(root, ("CNV", "DME", "DRUSEN", "NORMAL"), ("train", "test")), 4),
    "chest_xray": (lambda root: folders(root, ("NORMAL", "PNEUMONIA"), ("train", "test")), 2),
    "brain_tumor1": (lambda root: folders(root, ("no", "yes")), 2),
    "brain_tumor2": (lambda root: published(root, (10, 10)), 2),
}


@pytest.fixture(scope="module")
def after_a_step():
    """Shapes of the state and the terms after a step of a config: traced once for data sets of the same networks."""
    traced = {}

    def shapes(config, shape, classes):
        settings = config.to_dict()
        del settings["data"]
        asked = repr((settings, shape, classes))
        if asked not in traced:
            predict = lambda x: jax.nn.softmax(x[:, 0, :classes, 0])  # noqa: E731
            trainer = build_trainer(config, data_mesh(), shape, classes, predict)
            batch = {
                "images": jax.ShapeDtypeStruct((config.train.batch_size, 2, *shape), np.uint8),
                "labels": jax.ShapeDtypeStruct((config.train.batch_size, 2), np.int32),
            }
            traced[asked] = jax.eval_shape(trainer.step, jax.eval_shape(trainer.init), batch)
        return traced[asked]

    return shapes


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_paper_s_data_set_opens_as_laid_out_and_a_step_is_built_for_it(name, after_a_step, tmp_path, monkeypatch):
    lay_out, classes = LAYOUTS[name]
    lay_out(tmp_path / "data" / name)
    monkeypatch.chdir(tmp_path)
    for variant, shape in ((name, (256, 256, 3)), (f"{name}_64", (64, 64, 1))):
        config = load_config(find_config(variant))
        dataset = open_dataset(config.data.name, config.data.dir, config.data.fallback, file_settings(config.data))
        assert dataset.num_classes == classes
        assert dataset.image_shape == shape
        images = dataset.train.take(np.arange(4))
        assert images.shape == (4, *shape)
        assert len(np.unique(images)) > 2
        state, terms = after_a_step(config, shape, classes)
        assert state.step.shape == ()
        assert "generator_total" in terms
