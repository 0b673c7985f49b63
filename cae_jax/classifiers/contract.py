"""What a classifier must hold to, whatever framework it is of: how it is asked, and how its answers are read.

Training and explaining ask through one `Classifier`. Before anything is built on it, its `check` asks about two
batches.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cae_jax.classifiers.answers import ClassifierError, check_answers, words_of
from cae_jax.classifiers.callables import importable
from cae_jax.classifiers.outputs import HEADS, as_rows, in_words, make_head, pick_output
from cae_jax.classifiers.preparation import AS_IT_IS, Preparation
from cae_jax.parallel.batching import map_batches

ASKED = 16  # images that the check asks about
FEW = 8  # images of which less is said
OTHER_BATCH = (0, 0, 0, 1, 0)  # rows of these in a second batch, of another size and make
# Noise as shares of the greatest score, of 32 and of 16 bits. Kernels differ with the size of a batch.
CALL_NOISE, BATCH_NOISE = (1e-3, 1e-2), (2e-2, 5e-2)
log = logging.getLogger(__name__)

Ask = Callable[[Any], Any]
"""Takes images, as they are or prepared; returns scores `[batch, outputs]`."""


class OneAtATime(ClassifierError):
    """A classifier answers about images alone, but not about several together."""


@dataclass(frozen=True)
class Contract:
    """How a classifier's outputs are to be read.

    Attributes:
        output: name or position of the output that has the scores; '' where there is one, or one called 'logits'.
        columns: columns of the data's classes, in their order; () for all there are.
        head: meaning of the columns, see `make_head`.
        finding: column of the finding that is explained, see `make_head`.
        batch_size: number of images a call, for a classifier that takes so many only; 0 for any number.
        part: part of the config that these are keys of, for messages; '' for a function that was handed in.
    """

    output: str = ""
    columns: tuple[int, ...] = ()
    head: str = "softmax"
    finding: int = 0
    batch_size: int = 0
    part: str = "classifier"

    def __post_init__(self) -> None:
        make_head(self.head, self.finding, self.columns)
        if self.batch_size < 0:
            raise ValueError(f"batch_size must be 0 for any number of images, or more, not {self.batch_size}")

    def key(self, name: str) -> str:
        """What a message calls one of these keys."""
        return f"{self.part}.{name}" if self.part else name


PLAIN = Contract()


class Classifier:
    """A function of somebody's, asked and read as its contract says.

    Attributes:
        traceable: whether JAX can trace and differentiate it; else it gets numpy arrays of its own.
    """

    def __init__(
        self,
        function: Ask,
        preparation: Preparation = AS_IT_IS,
        contract: Contract = Contract(),
        *,
        traceable: bool = False,
        most: int = 0,
        folders: tuple[str, ...] = (),
    ):
        """Takes the function.

        Args:
            function: function from prepared images to whatever it returns.
            preparation: preparation of the images that it is asked about.
            contract: how outputs are read.
            traceable: whether JAX can trace and differentiate the function; else it gets numpy arrays of its own.
            most: greatest number of images a call; 0 for no limit.
            folders: folders that late imports of the function may be in.
        """
        self._function, self._preparation, self._contract = function, preparation, contract
        self.traceable, self._most, self._folders = traceable, most, folders
        self._head = make_head(contract.head, contract.finding, contract.columns)
        self._ask = self._traced if traceable else _sparing(self._on_host, contract)
        self._chosen = ""

    def _call(self, prepared: Any) -> Any:
        """One call of the function, with whatever it raises as a ClassifierError."""
        images = len(prepared)
        given = prepared if self.traceable else np.array(prepared, order="C")  # which it may write into
        try:
            with importable(self._folders):
                returned = self._function(given)
        except ClassifierError:
            raise
        except Exception as error:  # whatever somebody's code raises
            log.debug("the classifier's own error", exc_info=error)
            raise ClassifierError(
                f"the classifier, given {in_words(prepared)}, raised {type(error).__name__}: {words_of(error)}"
            ) from error
        contract = self._contract
        usual = "logits" if HEADS[contract.head].scores else ""
        array, chosen = pick_output(
            returned, images, output=contract.output, usual=usual, key=contract.key("output") if contract.part else ""
        )
        if chosen and chosen != self._chosen:
            self._chosen = chosen
            log.info("the classifier returns %s; %r is taken for its scores", in_words(returned), chosen)
        return as_rows(array, images)

    def _on_host(self, prepared: np.ndarray) -> np.ndarray:
        size = self._contract.batch_size or min(len(prepared), self._most or len(prepared))
        return map_batches(self._call, prepared, batch_size=size)

    def _traced(self, prepared: Any) -> Any:
        size, count = self._contract.batch_size, len(prepared)
        if not size:
            return self._call(prepared)
        rows = np.minimum(np.arange(-(-count // size) * size), count - 1)
        batches = jnp.asarray(prepared)[rows].reshape(-1, size, *prepared.shape[1:])
        return jax.lax.map(self._call, batches).reshape(len(rows), -1)[:count]

    def scores(self, images: Any) -> Any:
        """All columns of the output, `[batch, outputs]` float32, for images `[batch, height, width, channels]`.

        Rows are not finite where the classifier has no answer.

        Raises:
            ClassifierError: saying what it raised or returned.
        """
        images = images if self.traceable else np.asarray(images, np.float32)
        return self._ask(self._preparation(images))

    def predict(self, images: Any) -> Any:
        """Probabilities `[batch, K]` of images in [0, 1], traceable where the function is; else from numpy to numpy."""
        return self._head(self.scores(images))

    def check(self, images: np.ndarray, class_names: Sequence[str]) -> bool:
        """Asks about images twice, then about two of them in another batch, and looks at what comes back.

        Args:
            images: different images `[N, height, width, channels]` in [0, 1].
            class_names: names of the K classes.

        Returns:
            Whether there was anything to see: False if it has no finite answer to any of them.

        Raises:
            ClassifierError: naming what is wrong, and the key that mends it.
        """
        scores = jax.jit(self.scores) if self.traceable else self.scores
        first, again = (self._asked(scores, images) for _ in range(2))
        _check_columns(first.shape[1], self._contract, class_names)
        answered = np.isfinite(first).all(-1)
        if not answered.any():
            return False
        rows = np.minimum(OTHER_BATCH, len(images) - 1)
        _check_steady(first, again, CALL_NOISE, "from call to call", "Dropout is on, or something else is random")
        _check_steady(
            first[rows],
            self._asked(scores, images[rows]),
            BATCH_NOISE,
            "with the other images of the batch",
            "Batch normalisation is in training mode, or something is taken over the batch",
        )
        answers = self._head(first)
        _check_head(first[answered], self._contract)
        check_answers(answers, len(images), len(class_names))
        return True

    def _asked(self, scores: Ask, images: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(scores(images))
        except OneAtATime:
            raise
        except ClassifierError as error:
            advice = self._advice(images) if error.__cause__ else ""  # else it is what came back that is wrong
            raise ClassifierError(f"{error}{advice}") from error
        except Exception as error:  # of a compiled call
            log.debug("the classifier's own error", exc_info=error)
            raise ClassifierError(
                f"the classifier raised {type(error).__name__}: {words_of(error)}{self._advice(images)}"
            ) from error

    def _answers(self, images: np.ndarray, preparation: Preparation, traceable: bool) -> bool:
        """Whether the function answers when it is asked in another way."""
        other = Classifier(
            self._function, preparation, self._contract, traceable=traceable, most=self._most, folders=self._folders
        )
        try:
            jax.eval_shape(other.scores, images) if traceable else other.scores(images)
        except Exception as error:  # it is only tried
            log.debug("asked with %s", preparation, exc_info=error)
            return False
        return True

    def _advice(self, images: np.ndarray) -> str:
        """What to change, found out by asking in other ways where that can be."""
        key, now = self._contract.key, self._preparation
        if not self._contract.part:
            return f". It gets float32 arrays [N, height, width, channels] in [0, 1], here {images.shape}"
        if self.traceable and self._answers(images, now, traceable=False):
            return ". JAX cannot trace it; say kind = 'python'"
        for other, changed in _other_ways(now, images.shape[-1]):
            if self._answers(images, other, self.traceable):
                return ". It answers with " + " and ".join(
                    f"{key('input')}.{c} = {getattr(other, c)!r}" for c in changed
                )
        if self.traceable and not self._contract.batch_size and self._answers(images[:1], now, traceable=True):
            return f". It answers about one image at a time: {key('batch_size')} = 1"
        height, width = now.size or images.shape[1:3]
        return (
            f". Check {key('input')}: layout ({now.layout}), size ({height}, {width}), channels "
            f"({now.channels or images.shape[-1]}); and, if it takes so many images only, {key('batch_size')}"
        )


def _other_ways(now: Preparation, channels: int) -> Iterator[tuple[Preparation, tuple[str, ...]]]:
    """Preparations with another layout, other channels, or both, and the keys in which they differ."""
    changes = {
        "layout": "NCHW" if now.layout == "NHWC" else "NHWC",
        "channels": {1: 3}.get(now.channels or channels, 1),
    }
    for keys in (("layout",), ("channels",), ("layout", "channels")):
        try:
            yield dataclasses.replace(now, **{key: changes[key] for key in keys}), keys
        except ValueError as error:  # mean and std are of as many channels as there were
            log.debug("no other preparation: %s", error)


def _sparing(ask: Ask, contract: Contract) -> Ask:
    """Gives rows of NaN for the images that a classifier raises for, as long as it answers others.

    A batch that it raises for is asked about image by image. If it raises for all of them, it is asked once more about
    an image that it has answered before, to tell images without an answer from a classifier that has broken.
    """
    known: list[np.ndarray] = []

    def one(image: np.ndarray) -> np.ndarray | ClassifierError:
        try:
            return ask(image[None])
        except ClassifierError as error:
            return error

    def call(prepared: np.ndarray) -> np.ndarray:
        try:
            scores = ask(prepared)
            known[:] = [prepared[0]]
            return scores
        except ClassifierError as error:
            whole = error
        answers = [one(image) for image in prepared] if len(prepared) > 1 else [whole]
        raised = [row for row, answer in enumerate(answers) if isinstance(answer, ClassifierError)]
        if not raised:
            size = f"say {contract.key('batch_size')} = 1" if contract.part else "it must take any number"
            raise OneAtATime(f"{whole}. It answers about each image alone: {size}") from whole
        good = next((answer for answer in answers if not isinstance(answer, ClassifierError)), None)
        if good is None and known:
            good = one(known[0])
        if good is None or isinstance(good, ClassifierError):
            raise whole
        log.warning("no answer to %d of %d images: %s", len(raised), len(prepared), answers[raised[0]])
        nothing = np.full_like(good, np.nan)
        return np.concatenate([nothing if isinstance(answer, ClassifierError) else answer for answer in answers])

    return call


def _check_columns(outputs: int, contract: Contract, class_names: Sequence[str]) -> None:
    """Compares the number of outputs with the classes of the data."""
    classes, head, key = len(class_names), HEADS[contract.head], contract.key
    named = ", ".join(class_names[:6]) + (", ..." if classes > 6 else "")
    if head.columns != "classes":
        if classes != 2:
            raise ClassifierError(
                f"{key('head')} = {contract.head!r} has two classes, but the data has {classes} ({named})"
            )
        if head.columns == "one" and outputs != 1:
            other = "sigmoid" if head.scores else "findings"
            raise ClassifierError(
                f"the classifier returned {outputs} outputs an image, but {key('head')} = {contract.head!r} takes one. "
                f"If they are of findings that do not exclude each other, say {other!r} and {key('finding')}"
            )
        return
    if contract.columns:
        if len(contract.columns) != classes:
            raise ClassifierError(
                f"{key('columns')} names {len(contract.columns)} columns of {outputs}, but the data has {classes} "
                f"classes ({named}): one column for each, in their order"
            )
        return
    if outputs == classes:
        return
    if not contract.part:
        raise ClassifierError(
            f"the classifier returned {outputs} outputs for each image; the run has {classes} classes ({named}), and "
            f"their probabilities are expected"
        )
    if outputs == 1 and classes == 2:
        raise ClassifierError(
            f"the classifier returned one output for each image. If it is the score of {class_names[1]}, say "
            f"{key('head')} = 'logit'; if it is its probability already, 'probability'"
        )
    if outputs < classes:
        raise ClassifierError(
            f"the classifier returned {outputs} outputs, but the data has {classes} classes ({named})"
        )
    raise ClassifierError(
        f"the classifier returned {outputs} outputs, but the data has {classes} classes ({named}). Say with "
        f"{key('columns')} which columns are theirs, in this order"
    )


def _check_steady(first: np.ndarray, again: np.ndarray, noise: tuple[float, float], how: str, why: str) -> None:
    """Compares two answers to the same images."""
    answered = np.isfinite(first).all(-1) & np.isfinite(again).all(-1)
    if not answered.any():
        return
    first, again = first[answered], again[answered]
    coarse = any((first == first.astype(kind)).all() for kind in (np.float16, jnp.bfloat16))
    change, scale = float(np.abs(first - again).max()), float(np.abs(first).max())
    if change > noise[coarse] * scale + 1e-6:
        raise ClassifierError(
            f"the classifier's answers change {how}: by {change:.3g}, where the greatest is {scale:.3g}. {why}; bring "
            f"it into the mode for predictions (of PyTorch, model.eval() before it is exported)"
        )


def _check_head(scores: np.ndarray, contract: Contract) -> None:
    """Compares what the outputs look like with what the head takes."""
    head, key = HEADS[contract.head], contract.key("head")
    if head.columns == "findings":
        shown = scores[:, contract.finding : contract.finding + 1] if not head.scores else scores
    else:
        shown = scores
    low, high = float(shown.min()), float(shown.max())
    sums = scores.sum(-1, dtype=np.float64)
    within = low >= 0.0 and high <= 1.0
    few = len(scores) < FEW  # scores may look like probabilities in a few images by chance, but not as exactly
    shares = within and np.abs(sums - 1.0).max() < (1e-5 if few else 1e-2) and scores.shape[1] > 1
    whole = float(sums.mean())  # percentages, permille, bytes: parts of a whole, the same in every row
    parts = low >= 0.0 and high > 1.0 and np.abs(sums - whole).max() < whole * (1e-5 if few else 2e-2)
    parts = parts and np.ptp(scores, axis=0).max() > 2e-2 * whole  # scores of one answer to all are not said to be any
    say = f"say {key} = {{!r}}" if contract.part else "put a softmax behind them: probabilities sum to 1"
    found = f"the classifier's outputs lie in {low:.3g} to {high:.3g}"
    if parts and scores.shape[1] > 1 and head.columns == "classes":
        first = f", and {say.format('probabilities')}" if contract.part and head.scores else ""
        raise ClassifierError(
            f"{found} and sum to about {whole:.4g} in each of {len(scores)} rows: they are parts of that; divide them "
            f"by it{first}"
        )
    if head.scores and head.columns == "classes":
        if shares:
            raise ClassifierError(
                f"{found} and sum to 1 in each of {len(scores)} rows: they are probabilities already; "
                f"{say.format(head.twin)}"
            )
        if within:
            log.warning("%s: if they are probabilities already, %s is wrong", found, f"{key} = {contract.head!r}")
    elif head.scores and within and not few:
        raise ClassifierError(f"{found}: they are probabilities already, it seems; {say.format(head.twin)}")
    elif not head.scores and not within and (low < -1e-3 or high > 1.0 + 1e-3):
        logarithms = high <= 1e-3 and np.abs(np.exp(scores, dtype=np.float64).sum(-1) - 1.0).max() < 1e-2
        what = "logarithms of probabilities" if logarithms else "no probabilities, but scores"
        raise ClassifierError(f"{found}: they are {what}; {say.format(head.twin)}")
    elif head.columns == "classes" and np.abs(sums - 1.0).max() > 1e-2 and not head.scores and not contract.columns:
        other = f"; of findings that do not exclude each other, {say.format('findings')}" if contract.part else ""
        raise ClassifierError(
            f"{found} and sum to {sums.min():.3g} to {sums.max():.3g} in a row; probabilities sum to 1{other}"
        )
