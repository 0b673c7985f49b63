"""Progress of long work: bars on a terminal; elsewhere, such as in a log file, a plain line every half a minute."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

EVERY = 30.0  # seconds between two plain lines


def in_words(seconds: float) -> str:
    """A duration such as '2:03' or '1:02:03'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _count(task: Task) -> str:
    return "" if task.total is None else f"{task.completed:.0f} of {task.total:.0f}"


def _time(task: Task) -> str:
    """The time left; of a task without a total, the time taken."""
    if task.total is None:
        return in_words(task.elapsed or 0.0)
    left = task.fields.get("seconds_left", task.time_remaining)
    return "" if left is None or task.finished else f"{in_words(left)} left"


class _Column(ProgressColumn):
    """A column whose text is a function of the task."""

    def __init__(self, text: Callable[[Task], str]):
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text(task))


COLUMNS = (lambda task: task.description, _count, lambda task: task.fields.get("note", ""), _time)


class WorkProgress(Progress):
    """Shows tasks inside its `with` block, each with its count, a note and the time left.

    A task may have the fields `note`, a text, and `seconds_left`, where the caller knows it better than the speed of
    the last updates tells.
    """

    def __init__(self, console: Console):
        description, *others = map(_Column, COLUMNS)
        super().__init__(description, BarColumn(), *others, console=console)
        self._plain = not (console.is_terminal or console.is_jupyter)
        self._ended = threading.Event()
        self._speaker = threading.Thread(target=self._speak, daemon=True)
        self._said: dict[int, str] = {}

    def start(self) -> None:
        """Begins to show tasks."""
        self._speaker.start() if self._plain else super().start()

    def stop(self) -> None:
        """Shows tasks for the last time, those without a total only if they were shown before."""
        if not self._plain:
            super().stop()
            return
        self._ended.set()
        self._speaker.join()
        for task in self.tasks:
            if task.total is not None or task.id in self._said:
                self._say(task)

    def _speak(self) -> None:
        while not self._ended.wait(EVERY):
            for task in self.tasks:
                if not task.finished:
                    self._say(task)

    def _say(self, task: Task) -> None:
        said = [text(task) for text in COLUMNS]
        line = f"{said[0]}: {', '.join(filter(None, said[1:]))}"
        if self._said.get(task.id) != line:
            self._said[task.id] = line
            self.console.print(line, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def working(description: str, console: Console) -> Iterator[None]:
    """Shows, while its block runs, that something is being done whose end cannot be told, and for how long already."""
    with WorkProgress(console) as progress:
        progress.add_task(description, total=None)
        yield
