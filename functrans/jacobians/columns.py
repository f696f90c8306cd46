"""Colours of columns such that those of each row differ: by rule where the pattern is regular, else first fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from functrans.jacobians.first_fit import columns_in_use, first_fit
from functrans.jacobians.interchange import with_interchange
from functrans.jacobians.lattices import regular_colours
from functrans.jacobians.patterns import Pattern

_PROBE = 512  # rows on which it is seen whether first fit needs fewer colours than a rule


def only_in_use(pattern: Pattern, colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """The colours with -1 for empty columns, and numbered without gaps."""
    used = columns_in_use(pattern)
    if used.size == colours.size and used.size and np.bincount(colours).all():
        return colours
    found = np.full(colours.size, -1, np.int32)
    found[used] = np.unique(colours[used], return_inverse=True)[1]
    return found


def column_colours(pattern: Pattern) -> NDArray[np.int32]:
    """[n] colours, -1 for empty columns."""
    least = int(np.diff(pattern.starts).max(initial=0))
    if not least:
        return np.full(pattern.shape[1], -1, np.int32)
    regular = regular_colours(pattern, least)
    if regular is None:
        if least == columns_in_use(pattern).size:
            return only_in_use(pattern, np.arange(pattern.shape[1], dtype=np.int32))
        found = first_fit(pattern)
        assert found is not None  # as many as there are columns are enough
        return with_interchange(pattern, found, least)
    regular = only_in_use(pattern, regular)
    limit = int(regular.max())
    if limit >= least and first_fit(_middle(pattern), limit) is not None:
        found = first_fit(pattern, limit)
        if found is not None:
            return with_interchange(pattern, found, least)
    return regular


def _middle(pattern: Pattern) -> Pattern:
    """Some rows, without the others, and without empty columns."""
    first = max(0, (pattern.shape[0] - _PROBE) // 2)
    starts = pattern.starts[first : first + _PROBE + 1]
    used, columns = np.unique(pattern.columns[starts[0] : starts[-1]], return_inverse=True)
    return Pattern((starts.size - 1, used.size), starts - starts[0], columns)
