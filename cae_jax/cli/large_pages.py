"""Large memory pages for programs whose steps set aside gigabytes."""

import os
import sys

VARIABLE, LARGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"


def use_large_pages() -> None:
    """Starts this program again with large pages, unless the environment says something about the allocator already.

    XLA asks for a step's memory anew each time, and Linux hands it out in pages of 4 KB: on a CPU, that takes up to a
    third of a step (`docs/performance.md`). The C library reads the setting only when a program starts.
    """
    if sys.platform == "linux" and VARIABLE not in os.environ:
        os.environ[VARIABLE] = LARGE
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
