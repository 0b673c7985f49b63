"""Every command that README, docs, `--help` and the shipped files name: run on a short run's workdir, and looked at.

`cae ...` goes through the one command. What cannot be run here is listed with its reason, and read by its program's
parser. The tutorials' commands are
followed in `test_docs.py`, in their order.
"""

import argparse
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image
from small_run import SMALL, new_beside

from benchmarks import search
from cae_jax import Explainer, ExplainOptions, data
from cae_jax.cli import explain, main, program
from cae_jax.cli.options import SPLITS
from cae_jax.config.reading import find_config
from cae_jax.counterfactual import STRATEGIES
from cae_jax.explaining import results_folder
from cae_jax.options import CHOICES, OPTIONS, option_help
from cae_jax.types import Ending

pytestmark = pytest.mark.usefixtures("loaded_once")

ROOT = pathlib.Path(__file__).parents[1]
PROGRAMS = {
    **{f"{name}.py": main.PROGRAMS[name] for name in ("train", "explain")},
    **{f"cae {name}": found for name, found in main.PROGRAMS.items()},
    "benchmarks.search": search.PROGRAM,
}
CALLED = {"cae train": "train.py", "cae explain": "explain.py", "benchmarks.search": "python -m benchmarks.search"}
FOLLOWED = ("own_classifier.md", "own_data.md", "sharing.md")
TEXTS = {
    "README.md": (ROOT / "README.md").read_text(),
    **{str(path.relative_to(ROOT / "docs")): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))},
    **{f"--help of {name}": found.epilog(CALLED.get(name, name)) for name, found in PROGRAMS.items()},
    **{
        path.name: path.read_text()
        for folder in ("configs", "benchmarks")
        for path in sorted((ROOT / folder).glob("*.py"))
    },
}
NOT_RUN = {
    r"^make ": "installs an environment, or runs these tests",
    r"^python (-m )?benchmarks[./](?!search )": "measures for minutes",
    r"--distributed": "needs several hosts; test_processes.py has two processes",
    r"^cae explore ": "serves until it is interrupted; test_explorer.py serves",
    r"--push|hf://": "asks a hub; test_hub.py has one on this machine",
    r"--profile": "traces a run; test_profiling.py has it",
    r"configs/(oct|chest_xray|brain_tumor\d|medmnist|fashion_mnist)(_64)?\.py": "needs data that is not here",
    r"configs/(phantom(_32)?|mnist_official)\.py": "trains for long; test_paper_configs.py builds what they say",
    r"seed=S$": "S stands for a number",
    r"configs/bench_(synthetic|shortcut|chest_xray|brain_tumor)\.py": "trains for long",
    r"configs/folder\.py|my_config|runs/(folder|oct)|--out runs/oct": "is followed in test_docs.py, or like what is",
}
NEW = new_beside("runs/mnist")
TINY = {
    "train.py": [f"--config.{key}={value}" for key, value in SMALL.items()],
    **{name: ["--limit", "2", "--confidence", "0.11", "--overwrite"] for name in ("explain.py", "cae explain")},
    "cae manifold": ["--limit", "60"],
    "benchmarks.search": ["--num", "4", "--sample", "2"],
    "cae compare": [
        *(f"--config.train.{key}={value}" for key, value in (SMALL | NEW).items()),
        *(f"--config.protocol.{key}={value}" for key, value in {"images": 4, "steps": 4, "patch": 7}.items()),
        *("--config.protocol.bootstrap=20", "--config.protocol.road_shares=0.2", "--config.protocol.confidence=0.11"),
    ],
}


def commands():
    """All commands in code, by line, without comments; those of the tutorials are left out."""
    found = {}
    for name, text in TEXTS.items():
        whole = text.replace("\\\n", " ")
        lines = re.findall(r"^ *((?:python|make|cae) .*)$", whole, re.MULTILINE)
        lines += re.findall(r"`((?:python|cae) [^`\n]*--(?:config|workdir) [^`\n]*)`", whole)
        for line in lines if name not in FOLLOWED else ():
            words = shlex.split(line.replace("\\", " "), comments=True)
            found[shlex.join(words)] = words
    return found


COMMANDS = commands()


def reason(line):
    """Why a command is not run here, or None."""
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), None)


def program_of(words):
    """The program's name and its arguments."""
    if words[0] == "cae":
        return "train.py" if words[1] == "train" else " ".join(words[:2]), words[2:]
    words = words[2:] if words[1] == "-m" else words[1:]
    return words[0], words[1:]


RUN = [line for line in COMMANDS if reason(line) is None]
LISTED = [line for line in COMMANDS if reason(line) is not None]


def test_there_are_commands_and_every_reason_is_needed():
    assert len(RUN) > 15
    assert not [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in LISTED)]


@pytest.mark.parametrize("line", LISTED)
def test_what_is_not_run_exists_and_can_be_read(line):
    words = COMMANDS[line]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    name, arguments = program_of(words)
    if "benchmarks" in name:
        source = (ROOT / (name if name.endswith(".py") else name.replace(".", "/") + ".py")).read_text()
        assert all(f'"{word}"' in source for word in arguments if word.startswith("--"))
        return
    PROGRAMS[name].parse(arguments)
    for word in arguments:
        assert not word.startswith("configs/") or (ROOT / word).exists()


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained, digits):
    """A folder with a short run in `runs/mnist`, and pictures."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(trained[0], folder / "runs" / "mnist")
    (folder / "configs").symlink_to(ROOT / "configs")
    (folder / "my_digits").mkdir()
    seven, nine = (int(np.flatnonzero(digits.test.labels == label)[0]) for label in (7, 9))
    for name, row in (("my_digits/a", 0), ("my_digits/b", 1), ("seven", seven), ("nine", nine)):
        Image.fromarray(digits.test.take(np.asarray([row]))[0, ..., 0]).save(folder / f"{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def workdir_of(options):
    """Where `train.py` trains."""
    return options.workdir or pathlib.Path("runs") / pathlib.Path(options.config).stem


def files_of(name, options):
    """What a program has to leave behind."""
    if name == "train.py":
        return [] if options.list else [workdir_of(options) / "metrics.json"]
    if name in ("explain.py", "cae explain"):
        out = options.out or explain._default_out(options)
        return [out / file for file in ("index.html", "explanations.json", "explanations.npz")]
    if name == "cae manifold":
        out = results_folder(options.workdir, "manifold")
        return [out / file for file in ("index.html", "manifold.json", "codes.parquet")]
    if name == "benchmarks.search":
        return [options.workdir / "benchmark" / file for file in ("search.csv", "search.json", "search.png")]
    if name == "cae compare":
        return [(options.workdir or pathlib.Path("runs/bench_mnist")) / f for f in ("summary.md", "index.html")]
    return [options.out / "README.md" if name.endswith("package") else options.out]


def prepared(name, arguments):
    """The same command on tiny settings; what follows wins. A new run takes its classifiers from the short one."""
    tiny = TINY.get(name, [])
    if name == "train.py" and not workdir_of(PROGRAMS[name].parse(arguments)).exists():
        tiny = [*tiny, *(f"--config.{key}={value}" for key, value in NEW.items())]
    if name == "benchmarks.search" and "--memory" in arguments:
        tiny = [*tiny, "--memory", "8"]
    if name == "cae compare" and not any("methods" in word for word in arguments):
        tiny = [*tiny, "--config.methods=CAE,control: random map"]
    return [*arguments, *tiny]


def run(name, arguments, monkeypatch):
    """Runs a program as its script or `cae` does, up to the end of the process; returns the code that it ends with."""
    monkeypatch.setattr(program, "leave", sys.exit)
    monkeypatch.setattr(sys, "argv", [*name.split(" "), *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main() if name.startswith("cae ") else PROGRAMS[name].start(arguments, name)
    return ended.value.code


@pytest.fixture(scope="module")
def said():
    """What the programs that were run have printed, by program and options."""
    return {}


def what_is_asked(name, options):
    """A program and its options, a config by its file: two commands that ask the same are run once."""
    config = {"config": find_config(options.config).resolve()} if hasattr(options, "config") else {}
    return PROGRAMS[name], repr(sorted((vars(options) | config).items()))


@pytest.mark.parametrize("line", RUN)
def test_a_command_does_what_it_says(line, place, said, monkeypatch, capsys, request):
    name, arguments = program_of(COMMANDS[line])
    arguments = prepared(name, arguments)
    options = PROGRAMS[name].parse(arguments)
    asked = what_is_asked(name, options)
    if options.workdir == pathlib.Path("mnist_explainer") and not options.workdir.exists():
        assert main.PROGRAMS["package"](["--workdir", "runs/mnist", "--out", "mnist_explainer"]) == 0
    if name == "benchmarks.search":
        table = Explainer.load(options.workdir).code_table  # of a model that is hardly trained: let it be sure
        sure = table._replace(predictions=table.labels, odds=np.full(len(table.labels), 9.0))
        monkeypatch.setattr(Explainer, "code_table", sure)
    if asked not in said:
        if name == "cae manifold":
            request.getfixturevalue("compiled_well")
        assert run(name, arguments, monkeypatch) == 0, capsys.readouterr().out
        said[asked] = capsys.readouterr().out
    for file in files_of(name, options):
        assert file.stat().st_size > 100, file
    if name in ("explain.py", "cae explain"):
        rows = json.loads(files_of(name, options)[1].read_text())["explanations"]
        assert {row["ending"] for row in rows} <= {ending.name for ending in Ending}
        assert len({row["image"] for row in rows}) == (1 if "seven" in line else 2)
        assert all((files_of(name, options)[0].parent / row["picture"]).exists() for row in rows)
    elif name == "cae manifold":
        assert f"open {files_of(name, options)[0]}" in said[asked]
    elif name == "train.py":
        assert ("data.name" if options.list else "held-out test split") in said[asked]


def python_of(name):
    """The snippets of Python in a page."""
    return re.findall(r"^```python\n(.*?)^```$", TEXTS[name], re.MULTILINE | re.DOTALL)


def scope_after(snippet, digits):
    """What a snippet has named, of some images and a function `f` that classifies."""
    images = digits.test.take(np.arange(4))
    scope = {"images": images, "f": lambda batch: np.full((len(batch), 10), 0.1, np.float32)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*answers were asked for")  # the run is too short to give so many
        exec(snippet, scope)
    return scope


WITH_PYTHON = [name for name in TEXTS if name.endswith(".md") and name not in FOLLOWED and python_of(name)]


def test_there_are_snippets_of_python_in_the_readme_and_the_tutorials():
    assert {"README.md", "explaining.md", "first_explanation.md", "own_folder.md"} <= set(WITH_PYTHON)


@pytest.mark.parametrize("name", [name for name in WITH_PYTHON if name != "README.md"])
def test_the_python_of_a_page_runs(name, place, digits):
    config = python_of("README.md")[1]
    for snippet in python_of(name):
        scope = scope_after(snippet, digits)
        assert scope["get_config"]() if snippet == config else len(scope["record"])


def test_the_readme_s_python_runs(place, digits):
    from_python, config = python_of("README.md")
    scope = scope_after(from_python, digits)
    images = scope["images"]
    assert scope["probabilities"].shape == (8, 10)
    assert scope["swapped"].shape == images.shape
    assert scope["record"].image_index.tolist() == list(range(8))
    exec(config, scope)
    found = scope["get_config"]()
    assert (found.classifier.path, found.data.size, found.classifier.input.layout) == ("model.onnx", (64, 64), "NCHW")


def test_cae_lists_its_commands_without_loading_jax(capsys, monkeypatch):
    lines = "import sys", "from cae_jax.cli.main import main", "try: main()", "finally: assert 'jax' not in sys.modules"
    command = [sys.executable, "-c", "\n".join(lines)]
    said = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  (\w+) {2,}(\w.*)\n {10,}(cae \w+) ", said, re.MULTILINE)
    assert [name for name, _, _ in listed] == list(main.PROGRAMS)
    assert all(line and called == f"cae {name}" for name, line, called in listed)
    said = subprocess.run([*command, "explain", "--help"], capture_output=True, text=True, check=True).stdout
    assert "\n  cae explain --workdir" in said
    assert "--strategy {closest,nearest,medoid,centroid,geodesic}" in said
    assert "explain.py" not in said
    monkeypatch.setattr(sys, "argv", ["cae", "explane"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "invalid choice: 'explane' (choose from" in capsys.readouterr().err


def test_the_options_of_explain_are_those_of_explaining():
    assert option_help().keys() == OPTIONS.keys()
    assert all(option_help().values())
    assert CHOICES["strategy"] == tuple(STRATEGIES)
    assert {"strategy", "saliency"} == CHOICES.keys()
    assert SPLITS == data.SPLITS
    options = vars(explain.PROGRAM.parse(["--workdir", "runs/mnist"]))
    assert ExplainOptions(**{name: options[name] for name in OPTIONS}) == ExplainOptions()


def test_a_confidence_is_a_number_or_the_word(capsys):
    for text, value in (("typical", "typical"), ("0.75", 0.75)):
        assert explain.PROGRAM.parse(["--workdir", "runs/mnist", "--confidence", text]).confidence == value
    with pytest.raises(SystemExit):
        explain.PROGRAM.parse(["--workdir", "runs/mnist", "--confidence", "usual"])
    assert "expected 'typical' or a probability, not 'usual'" in capsys.readouterr().err


def test_folders_of_one_name_have_results_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = {"workdir": tmp_path / "run", "limit": None, "reference": None, "target": None}
    out = lambda path: explain._default_out(argparse.Namespace(input=pathlib.Path(path), **asked)).name  # noqa: E731
    assert out("seven.png") == "seven_to_any"
    assert out("monday/slices") == out("./monday/../monday/slices/") == "monday_slices_to_any"
    assert out("tuesday/slices") == "tuesday_slices_to_any"
    assert out(".") == f"{tmp_path.name}_to_any"
    assert out("/data/slices") == "data_slices_to_any"
