"""Writes a comparison into a folder: `benchmark.csv`, `benchmark.md`, `summary.md` and `index.html`.

The results of each method are saved beside them by `suite`.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from cae_jax.comparison import tables
from cae_jax.comparison.suite import Result
from cae_jax.comparison.task import Setting
from cae_jax.report import Section, comparison_page
from cae_jax.workdir.files import write_whole

INTROS = {
    "attributions": "Which pixels made the classifier answer as it did? Cells of pixels are removed in the order of "
    "the map, most or least relevant first, and the answer's probability is watched; also that by a classifier "
    "which is used to missing cells. The ceiling is an order that was found on these very probabilities.",
    "counterfactuals": "What would the image look like in another class? Each image has the same target for all "
    "methods; {judges} say{s} whether it is of that class.",
}

MODEL = {
    "swap_flip_rate": "pervasiveness: swaps that take the donor's class",
    "swap_oracle_rate": "the same, by the oracle",
    "swap_svm_rate": "the same, by the SVM",
    "reconstruction_keep_rate": "reconstructions that keep their class",
    "class_code_knn_accuracy": "class code accuracy (kNN)",
    "individual_code_leakage": "individual code leakage (strongest of four probes)",
    "individual_code_leakage_chance": "leakage at chance",
}
"""Scores of the model itself, on the whole test split, by key of `metrics.json`."""


def _judges(setting: Setting) -> dict[str, str]:
    """What the introduction says of the judges, by its keys."""
    if setting.judge.svm is None:
        return {"judges": "a judge that no method has seen, an oracle,", "s": "s"}
    return {"judges": "two judges that no method has seen, an oracle and an SVM,", "s": ""}


def _gaps_line(setting: Setting) -> str:
    """How good the classifiers are that the curves are of."""
    gaps, accuracy = setting.judge.used_to_gaps, setting.model_scores.get("classifier_accuracy")
    explained = "" if accuracy is None else f" The one that is explained is right on {accuracy:.3f}."
    return (
        f"The classifier that is used to gaps is right on {gaps.accuracy:.3f} of the whole test images, and gives "
        f"{gaps.agreement:.3f} of them the class that the explained one gives.{explained}"
    )


def _model_table(setting: Setting) -> str:
    scores = setting.model_scores
    rows = [f"| {text} | {scores[key]:.3f} |" for key, text in MODEL.items() if key in scores]
    return "\n".join(["| the CAE itself | |", "|---|---|", *rows])


def _section(setting: Setting, kind: str, results: Sequence[Result]) -> Section:
    protocol = setting.judge.protocol
    seed, resamples = protocol.seed, protocol.bootstrap
    columns = tables.columns_of(results)
    names = setting.task.explainer.record.class_names
    shown = slice(protocol.pictures)
    rows = []
    for result in results:
        cells = tables.cells(result, seed, resamples)
        texts = [f"failed: {result.error}"] if result.error else [str(cells.get(c, tables.NOTHING)) for c in columns]
        rows.append((result.label, texts))
    found = tables.differences(results, seed, resamples)
    captions = [
        names[answer] if kind == "attributions" else f"{names[answer]} → {names[target]}"
        for answer, target in zip(setting.task.classes[shown], setting.task.targets[shown], strict=True)
    ]
    return Section(
        kind.capitalize(),
        INTROS[kind].format(**_judges(setting)),
        list(columns.values()),
        rows,
        [(x.score, x.other, str(x.difference)) for x in found],
        captions,
        {result.label: result.pictures for result in results if not result.error},
    )


def short_tables(setting: Setting, results: Sequence[Result]) -> str:
    """The short tables in Markdown, those of `docs/comparison.md`: scores, and CAE's differences to the best others."""
    protocol = setting.judge.protocol
    seed, resamples = protocol.seed, protocol.bootstrap
    parts = []
    for kind, only in tables.MAIN.items():
        rows = [result for result in results if result.kind == kind]
        if rows:
            found = [x for x in tables.differences(rows, seed, resamples) if x.score in only]
            parts += [tables.markdown(rows, seed, resamples, only), tables.differences_markdown(found)]
            parts += [_gaps_line(setting)] if kind == "attributions" else []
    if setting.model_scores:
        parts.append(_model_table(setting))
    return "\n\n".join(parts)


def write_folder(folder: pathlib.Path, setting: Setting, results: Sequence[Result], title: str) -> None:
    """Writes tables and page; an interruption leaves no incomplete file.

    Args:
        folder: path of the folder, made if it does not exist.
        setting: setting of the comparison.
        results: results of the methods.
        title: title of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    protocol = setting.judge.protocol
    seed, resamples = protocol.seed, protocol.bootstrap
    kinds = {kind: [result for result in results if result.kind == kind] for kind in INTROS}
    whole = []
    for kind, rows in kinds.items():
        if rows:
            found = tables.differences(rows, seed, resamples)
            whole += [f"## {kind.capitalize()}", tables.markdown(rows, seed, resamples)]
            whole += [tables.differences_markdown(found)] if found else []
            whole += [_gaps_line(setting)] if kind == "attributions" else []
    if setting.model_scores:
        whole += ["## Disentanglement", _model_table(setting)]
    write_whole(folder / "benchmark.csv", tables.as_csv(results, seed, resamples))
    write_whole(folder / "benchmark.md", f"# {title}\n\n" + "\n\n".join(whole) + "\n")
    write_whole(folder / "summary.md", short_tables(setting, results) + "\n")
    accuracy = setting.model_scores.get("classifier_accuracy")
    facts = {
        "data": setting.task.explainer.record.data,
        "split": protocol.split,
        "images": str(len(setting.task.images)),
        "classifier": "of unknown accuracy" if accuracy is None else f"{accuracy:.3f} accurate on test",
        "classifier used to gaps": f"{setting.judge.used_to_gaps.accuracy:.3f} accurate on test",
        "patch": f"{protocol.patch} pixels, in {protocol.steps} steps",
        "seed": str(seed),
    }
    facts |= {text: f"{setting.model_scores[key]:.3f}" for key, text in MODEL.items() if key in setting.model_scores}
    shown = slice(protocol.pictures)
    page = comparison_page(
        title,
        facts,
        [_section(setting, kind, rows) for kind, rows in kinds.items() if rows],
        np.asarray(setting.task.images[shown]),
        [f"{protocol.split}_{row}" for row in setting.rows[shown]],
        setting.task.explainer.verdict,
    )
    write_whole(folder / "index.html", page)
