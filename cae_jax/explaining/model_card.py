"""The page that goes with a trained explainer: what it is, what it reached, how to use it, its limits."""

from collections.abc import Mapping
from typing import Any

from cae_jax.workdir.record import RunRecord

SHOWN = (
    ("classifier_accuracy", "the classifier is right"),
    ("oracle_accuracy", "the oracle, a classifier that training never saw, is right"),
    ("swap_flip_rate", "the classifier gives a swap its donor's class"),
    ("swap_oracle_rate", "so does the oracle"),
    ("reconstruction_keep_rate", "reconstructions keep their class"),
    ("reconstruction_l1", "distance of reconstructions from images, in [0, 1]"),
    ("class_code_knn_accuracy", "class codes tell the class"),
    ("individual_code_leakage", "so do individual codes; the less the better"),
    ("individual_code_leakage_chance", "what would be chance for them"),
)


def _not_included(classifier: Mapping[str, Any]) -> str:
    path = classifier["path"]
    how = "put it here" if path.endswith(".onnx") else "hand it in: `Explainer.load(..., host_classifier=...)`"
    return f"{path} (not included; {how})"


def model_card(record: RunRecord, step: int, classifier: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """Writes a model card in Markdown.

    Args:
        record: of the run.
        step: of the checkpoint.
        classifier: its facts.
        scores: the run's metrics; may be empty.
    """
    height, width, channels = record.image_shape
    named = f"included ({classifier['architecture']})" if "architecture" in classifier else _not_included(classifier)
    rows = [f"| `{name}` | {scores[name]:.3f} | {meaning} |" for name, meaning in SHOWN if name in scores]
    table = ["| | test split | |", "|---|---|---|", *rows] if rows else ["No metrics came with the run."]
    return "\n".join(
        [
            "# An explainer of an image classifier",
            "",
            "A class association embedding (Xie et al., ICDE 2024, arXiv 2406.07961) that `cae_jax` trained: it splits",
            "an image into a class code and an individual code, and shifts class codes until the classifier's answer",
            "flips.",
            "",
            f"- **Images**: {height}×{width}, {'grey' if channels == 1 else 'RGB'}",
            f"- **Classes**: {', '.join(record.class_names)}",
            f"- **Data**: {record.data or 'not named'}" + (f" ({record.note})" if record.note else ""),
            f"- **Classifier**: {named}",
            f"- **Checkpoint**: step {step}",
            "",
            "## Use",
            "",
            "    from cae_jax import Explainer",
            "",
            '    explainer = Explainer.load("THIS_FOLDER")',
            '    found = explainer.explain(images, target="any")  # [N, height, width, channels], uint8 or in [0, 1]',
            "    found.counterfactual, found.saliency, found.status",
            "",
            "or `cae explain --workdir THIS_FOLDER --input IMAGES/`.",
            "",
            "## What it reached",
            "",
            *table,
            "",
            "## Limits",
            "",
            "It explains this classifier on images like those it was trained on, and nothing else. A counterfactual",
            "shows what would change the classifier's answer; whether that makes the difference in the world is",
            "another question. Endings say where no counterfactual was found: leave them in whatever you count.",
            "",
        ]
    )
