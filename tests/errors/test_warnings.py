"""A warning names the line of the user's code, wherever in functrans it is raised."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.ir import types

WIDE = np.array([1.0, 2.0])
CALLS: dict[str, Callable[[], Any]] = {
    "an argument of grad": lambda: ft.grad(fnp.sum)(WIDE),
    "an argument of jit": lambda: ft.jit(fnp.sin)(WIDE),
    "asarray": lambda: fnp.asarray(WIDE),
    "a dtype of 64 bits": lambda: fnp.zeros(2, np.float64),
    "a dtype of 64 bits, traced": lambda: ft.vmap(lambda x: x.astype(np.float64))(np.ones(2, np.float32)),
    "an update that is cut": lambda: ft.jit(lambda x: x.at[0].set(2.5))(np.arange(3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_is_at_the_users_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "_narrowing_warned", False)
    call = CALLS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    places = {(w.filename, w.lineno) for w in caught}
    assert places == {(__file__, call.__code__.co_firstlineno)}
