"""Packages on the Hugging Face Hub, by addresses `hf://OWNER/NAME` or, of one commit, tag or branch, `...@REVISION`.

Only the files of a package are asked for, and what arrives is read as any package is: the sums of the files are
compared, and no code runs. A repository that holds no package is refused, since a workdir would be trusted as a config
is. Tokens, the cache, proxies and another server (`HF_ENDPOINT`) are huggingface_hub's own affair.
"""

import contextlib
import functools
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from cae_jax.errors import UserError
from cae_jax.explaining.package import CARD, CLASSIFIER, CODE_TABLE, LISTING, MANIFEST, METRICS, MODEL, is_package
from cae_jax.workdir.record import FILE as RECORD

SCHEME = "hf://"
REPOSITORY = r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)"
FILES = (CARD, CLASSIFIER, CODE_TABLE, LISTING, MANIFEST, METRICS, MODEL, RECORD)


class HubError(UserError, RuntimeError):
    """What is asked of the hub cannot be had; the message names the repository and says what to do."""


def is_address(name: object) -> bool:
    """Whether a name is an address on the hub, right or wrong."""
    return isinstance(name, str) and name.startswith(SCHEME)


def read_address(address: str) -> tuple[str, str, str | None]:
    """Reads `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION` into owner, name and revision, if there is one.

    Raises:
        HubError: if the address is none.
    """
    found = re.fullmatch(rf"{SCHEME}{REPOSITORY}(?:@([\w./-]+))?", address, re.ASCII)
    if not found:
        raise HubError(f"{address} is no address on the hub: write {SCHEME}OWNER/NAME or {SCHEME}OWNER/NAME@REVISION")
    return found[1], found[2], found[3]


@contextlib.contextmanager
def _hub(repository: str) -> Iterator[Any]:
    """The library, with its errors told in a sentence."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise HubError(f"{SCHEME}{repository} needs huggingface_hub: pip install 'cae_jax[hub]'") from error
    try:
        yield huggingface_hub
    except errors.LocalTokenNotFoundError as error:
        raise HubError(f"nobody is logged in to the hub, so {repository} cannot be written: hf auth login") from error
    except errors.GatedRepoError as error:
        raise HubError(f"{repository} is open to those only who were let in: ask for it on its page") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"there is no repository {repository} on the hub, or it is not open to you: check the name, or log in with "
            f"hf auth login (or HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repository} has no such revision: name a commit, tag or branch that it has") from error
    except errors.HFValidationError as error:
        raise HubError(f"{repository} is no name of a repository: {error}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            why = f"you may not do that with {repository}: log in with hf auth login, with a token that may write"
        else:
            why = f"the hub has refused what was asked of {repository} ({status}): {error}"
        raise HubError(why) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HTTPError) as error:
        why = error.__cause__ or error
        raise HubError(f"{repository}: the hub cannot be reached ({why}); check the network") from error


def download(address: str) -> pathlib.Path:
    """Brings a package from the hub into huggingface_hub's cache, where what is there already is not fetched again.

    Without a network, what was fetched before is taken.

    Args:
        address: `hf://OWNER/NAME`, or `hf://OWNER/NAME@REVISION`.

    Returns:
        The package's folder. Nothing may be written there.

    Raises:
        HubError: if huggingface_hub is not installed, the hub cannot be reached, there is no such repository or
            revision, or it holds no package.
    """
    owner, name, revision = read_address(address)
    with _hub(f"{owner}/{name}") as library:
        fetch = functools.partial(library.snapshot_download, f"{owner}/{name}")
        folder = pathlib.Path(fetch(revision=revision, allow_patterns=list(FILES)))
        if not is_package(folder):
            raise HubError(
                f"{address} holds no package of cae_jax (it has no {MANIFEST}); cae package --push makes one"
            )
        if brought := _brought(folder):
            fetch(revision=folder.name, allow_patterns=brought)  # of the same commit, into the same folder
    return folder


def _brought(folder: pathlib.Path) -> list[str]:
    """Files of a classifier of one's own that may have been put beside a package; it says which, by their sums."""
    try:
        names = json.loads((folder / MANIFEST).read_text())["classifier"]["identity"]["files"]
    except (ValueError, KeyError, TypeError):  # of an early version, or damaged, which loading will say
        return []
    return [name for name in names if isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) and _is_weights(name)]


def _is_weights(name: str) -> bool:
    """Whether a file's ending is one of weights or graphs, which hold no code that would run."""
    return not name.endswith((".py", ".pt", ".pth", ".pkl", ".pickle"))


def check_repository(repository: str) -> None:
    """Checks that one is logged in and can name such a repository, before anything is computed for it.

    Args:
        repository: OWNER/NAME.

    Raises:
        HubError: if it is no name of a repository, one is not logged in, or huggingface_hub is not installed.
    """
    if not re.fullmatch(REPOSITORY, repository, re.ASCII):
        raise HubError(f"{repository!r} is no name of a repository on the hub: write OWNER/NAME")
    with _hub(repository) as library:
        from huggingface_hub.utils import validate_repo_id

        validate_repo_id(repository)
        library.HfApi().whoami()


def upload(folder: pathlib.Path, repository: str) -> str:
    """Uploads a package; files of a package that was there before and is no longer needed are deleted there.

    A repository that is not there is made, and is private until its owner opens it to others.

    Args:
        folder: the package.
        repository: OWNER/NAME.

    Returns:
        The address of what was uploaded: `hf://OWNER/NAME@COMMIT`.

    Raises:
        HubError: if it cannot be uploaded; the folder stays as it is.
    """
    with _hub(repository) as library:
        api = library.HfApi()
        api.create_repo(repository, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message="A package of cae_jax",
            allow_patterns=list(FILES),
            delete_patterns=list(FILES),
        )
    return f"{SCHEME}{repository}@{commit.oid}"
