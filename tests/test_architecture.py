"""The layers of the package, read from its imports, and its docstrings."""

import ast
import pathlib
import subprocess
import sys

import pytest

import cae_jax

PACKAGE = pathlib.Path(__file__).parents[1] / "cae_jax"
LEVELS = (
    {"errors"},
    {"types", "images", "similarity", "file_names", "options", "descent", "drafts", "progress"},
    {"parallel"},
    {"models", "losses", "data", "classifiers", "counterfactual", "manifold", "metrics", "baselines", "report"},
    {"config"},
    {"workdir", "interop"},
    {"training", "explaining"},
    {"comparison", "explorer"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
OPTIONAL = {  # other frameworks, and the one file that may import each, inside a function
    "torch": "classifiers/torch_models.py",
    "onnxruntime": "classifiers/onnx_models.py",
    "pydicom": "data/dicom.py",
    "huggingface_hub": "explaining/hub.py",
    "tensorflow": "",
}
FILES = sorted(PACKAGE.rglob("*.py"))
by_path = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


def part_of(file):
    """The package, or the module beside `__init__`, that a file belongs to."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(file):
    """Dotted names of all that a file imports, wherever in it."""
    yield from imports_of(ast.walk(ast.parse(file.read_text())), file)


def imports_of(nodes, file=""):
    """Dotted names of what some nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(file):
    """The parts of our package that a file imports."""
    dotted = [name.split(".") for name in imports(file)]
    return {names[1] for names in dotted if names[0] == "cae_jax" and len(names) > 1}


def test_every_part_has_a_level():
    assert {part_of(file) for file in FILES} - {"__init__"} == LEVEL.keys()


@by_path
def test_imports_go_down_only(file):
    part = part_of(file)
    if part == "__init__":
        return
    for other in own_imports(file) - {part}:
        assert LEVEL[other] < LEVEL[part], f"{part} (level {LEVEL[part]}) imports {other} (level {LEVEL[other]})"


@by_path
def test_nothing_imports_the_command_line_but_itself(file):
    if part_of(file) not in ("cli", "__main__"):
        assert "cli" not in own_imports(file)


@by_path
def test_other_frameworks_are_imported_in_one_place_each_and_late(file):
    here = str(file.relative_to(PACKAGE))
    for name in {name.split(".")[0] for name in imports(file)} & OPTIONAL.keys():
        assert OPTIONAL[name] == here, f"{here} imports {name}"
    first = [node for node in ast.parse(file.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    at_once = {name.split(".")[0] for name in imports_of(first)}
    assert not at_once & OPTIONAL.keys()


@by_path
def test_modules_and_their_public_functions_and_classes_have_docstrings(file):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_public_names_are_there_and_none_of_them_loads_jax_before_it_is_used():
    code = "import sys, cae_jax; cae_jax.presets.default(), cae_jax.ExplainOptions(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert sorted(cae_jax.__all__) == sorted(cae_jax._HOMES)
    assert all(getattr(cae_jax, name) for name in cae_jax.__all__)


def test_training_starts_without_what_only_evaluation_needs():
    """scikit-learn takes seconds to load."""
    code = "import sys, cae_jax.cli.console, cae_jax.training.loop; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
