"""Arrays with elements replaced, positions, functions along axes, grids and interpolation: as jax.numpy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.numpy.many import assert_cases_agree, grad_of, jvp_of

A = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
I = np.int32([[3, 0, 7, -1]] * 3)
Cases = dict[str, Callable[..., Any]]


def placing(m: Any) -> Cases:
    cases: Cases = {
        f"put {mode}": lambda x, i, mode=mode: m.put(x, i[0], m.asarray([5.0, 6.0]), mode, inplace=False)
        for mode in (None, "clip", "wrap", "x")
    }
    cases["in place"] = lambda x, i: m.put(x, 0, 0)
    cases["place"] = lambda x, i: [m.place(x, x > 0, x[0], inplace=False), m.place(x, x > 0, 7.0, inplace=False)]
    cases["put_along_axis"] = lambda x, i: [
        m.put_along_axis(x, i[:, :2], 9.0, 1, inplace=False), m.put_along_axis(x, i[:1] % 3, x[:1], 0, inplace=False),
        m.put_along_axis(x, i[0], 1.0, None, inplace=False),
    ]  # fmt: skip
    cases["fill_diagonal"] = lambda x, i: [
        m.fill_diagonal(x, 5.0, inplace=False), m.fill_diagonal(x, x[0, :2], inplace=False)
    ]  # fmt: skip
    return cases


def positions(m: Any) -> Cases:
    cases: Cases = {
        f"ravel {o}": lambda x, i, o=o: [
            m.ravel_multi_index((i, i[0]), (8, 3), mode=mode, order=o) for mode in ("clip", "wrap", "ignore")
        ]
        for o in ("C", "F")
    }
    cases["unravel"] = lambda x, i: [
        m.unravel_index(i, (2, 3)), m.unravel_index(5, (2, 3)), m.unravel_index(i.astype(np.uint8), (2, 2, 2)),
        m.unravel_index(i - 30, (2, 3)),
    ]  # fmt: skip
    cases["from"] = lambda x, i: [
        m.diag_indices_from(x[:, :3]), m.tril_indices_from(x), m.triu_indices_from(x, 1),
        m.mask_indices(3, m.triu, size=6),
    ]  # fmt: skip
    return cases


def mapping(m: Any) -> Cases:
    plain = m.vectorize(lambda a, b: a * b + 1)
    product = m.vectorize(lambda a, b: a @ b, signature="(m,n),(n)->(m)")
    two = m.vectorize(lambda a: (a.sum(), a * 2), signature="(n)->(),(n)")
    power = m.vectorize(lambda a, n: a**n, excluded={1})
    return {
        "along": lambda x, i: [
            m.apply_along_axis(m.sum, 0, x), m.apply_along_axis(lambda v: v[:2] * 2, 1, x),
            m.apply_along_axis(m.cumsum, 1, m.stack([x, x])), m.apply_over_axes(m.sum, m.stack([x, x]), (0, 2)),
        ],
        "vectorize": lambda x, i: [plain(x, x[0]), plain(x[:, None], 2.0), plain(x[None, :, :1], x[:1]), power(x, 3)],
        "signature": lambda x, i: [
            product(x, x[0]), product(m.stack([x, x])[:, None], m.stack([x[0], x[1]])), two(x)
        ],
        "none": lambda x, i: m.vectorize(lambda a, b=None: a if b is None else a + b)(x, None),
        "core sizes": lambda x, i: product(x, x.T),
        "no signature": lambda x, i: m.vectorize(lambda a: a, signature="(m")(x),
        "wrong result": lambda x, i: m.vectorize(lambda a: a.sum(), signature="(m)->(m)")(x),
    }  # fmt: skip


def grids(m: Any) -> Cases:
    return {
        "grids": lambda x, i: [m.mgrid[0:3, 1:2], m.mgrid[0:3], m.mgrid[0:1:5j, 0:2], m.ogrid[0:3, 0:2]],
        "joined": lambda x, i: [
            m.r_[1:4, 0, 4], m.r_["0,2", x[0], x[1]], m.c_[x[0], x[1]], m.r_["r", x[0]], m.r_[0:1:3j, x[0]],
            m.r_["1,2,0", x[0], x[1]], m.c_[x, x],
        ],
        "interp": lambda x, i: [
            m.interp(x, np.float32([0.5, 1.5, 0.1]), np.float32([1, 2, 3]), period=2.0),
            m.interp(x, np.linspace(-2, 2, 40, dtype=np.float32), np.linspace(-2, 2, 40, dtype=np.float32) ** 2),
        ],
    }  # fmt: skip


def test_placing_positions_mapping_and_grids_agree_with_jax() -> None:
    both = [{**placing(m), **positions(m), **mapping(m), **grids(m)} for m in (fnp, jnp)]
    assert_cases_agree(*both, A, I)


def test_gradients_agree_with_jax() -> None:
    def cases(m: Any) -> Cases:
        return {
            "place": lambda x: m.place(x, x > 0, x[0], inplace=False),
            "put_along_axis": lambda x: m.put_along_axis(x, I[:, :2], x[:, :2] ** 2, 1, inplace=False),
            "interp": lambda x: m.interp(x, m.asarray([0.5, 1.5, 0.1]) + x[0, 0] * 0.01, x[1, :3], period=2.0),
            "along": lambda x: m.apply_along_axis(lambda v: m.cumprod(v), 0, x),
        }

    def cotangent(out: Any) -> Any:
        return np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)

    assert_cases_agree(grad_of(cases(fnp), ft.vjp, cotangent), grad_of(cases(jnp), jax.vjp, cotangent), A, scale=16.0)


def test_parts_of_floats_agree_with_jax() -> None:
    def cases(m: Any) -> Cases:
        return {
            "frexp": lambda x: m.frexp(x),
            "ldexp": lambda x: [m.ldexp(x, np.int32([3, -2, 1, -100])), m.ldexp(3, 2)],
            "floating exponents": lambda x: m.ldexp(x, 1.5),
            "i0": lambda x: m.i0(m.clip(x, -3, 3)),
        }

    x = A * np.float32([1e-30, 1, 1e10, 1e37])  # no subnormal numbers: XLA takes them for zeros on CPU
    x[0] = [0.0, -0.0, np.inf, np.nan]
    for values in (x, np.clip(x, -1e4, 1e4).astype(np.float16), x.astype(jnp.bfloat16), I):
        assert_cases_agree(cases(fnp), cases(jnp), values)
    ours = {"frexp": lambda x: fnp.frexp(x)[0], "ldexp": lambda x: fnp.ldexp(x, 2)}
    theirs = {"frexp": lambda x: jnp.frexp(x)[0], "ldexp": lambda x: jnp.ldexp(x, 2)}
    assert_cases_agree(jvp_of(ours, ft.jvp), jvp_of(theirs, jax.jvp), A, A)


def test_arrays_from_files_buffers_and_text(tmp_path: Any) -> None:
    fnp.save(tmp_path / "x.npy", A)
    np.testing.assert_array_equal(fnp.load(tmp_path / "x.npy"), A)
    A.tofile(tmp_path / "x.bin")
    for found in (
        fnp.fromfile(tmp_path / "x.bin", np.float32), fnp.frombuffer(A.tobytes(), np.float32),
        fnp.fromiter(A.ravel().tolist(), np.float32), fnp.from_dlpack(fnp.asarray(A)).ravel(),
    ):  # fmt: skip
        assert isinstance(found, jax.Array)
        np.testing.assert_array_equal(found, A.ravel())
    wide = A.ravel().astype(np.float64)
    wide.tofile(tmp_path / "wide.bin")  # the bytes are those of the dtype that is asked for, float64 by default
    for found in (fnp.frombuffer(wide.tobytes()), fnp.fromfile(tmp_path / "wide.bin")):
        np.testing.assert_array_equal(found, A.ravel())
    assert fnp.array_repr(A) == repr(A)
    assert fnp.array_str(fnp.asarray(A), precision=2) == np.array_str(A, precision=2)
    with pytest.raises(TypeError, match="from_dlpack: an array with __dlpack__ is needed, got list"):
        fnp.from_dlpack([1.0])


def test_trimmed_zeros_agree_with_numpy() -> None:
    x = np.float32([0, 1, 0, 2, 0])
    for trim in ("fb", "f", "b"):
        np.testing.assert_array_equal(fnp.trim_zeros(x, trim), np.trim_zeros(x, trim))
    assert fnp.trim_zeros(np.zeros(3)).shape == (0,)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: fnp.put(A, 0, 0.0), ValueError, "put: arrays are immutable .* pass inplace=False"),
        (lambda: fnp.put(A, 0, 0.0, "up", inplace=False), ValueError, "mode must be None, 'clip' or 'wrap', got 'up'"),
        (lambda: fnp.fill_diagonal(A[0], 0.0, inplace=False), ValueError, r"a matrix, .* needed; got shape \(4,\)"),
        (lambda: fnp.ravel_multi_index((I, I), (2, 2)), ValueError, "indices from -1 to 7 for an axis of size 2"),
        (lambda: ft.jit(lambda i: fnp.ravel_multi_index((i,), (2,)))(I), TypeError, r"\(mode=.raise.\): an index"),
        (lambda: fnp.vectorize(fnp.sin, signature="m->n")(A), ValueError, r"'m->n' is no signature such as"),
        (lambda: fnp.vectorize(fnp.sin, excluded=[1.5]), TypeError, "excluded takes positions and names .* got 1.5"),
        (lambda: fnp.r_[A[0], "r"], ValueError, "r_: the directive 'r' must come first"),
        (lambda: fnp.interp(1.0, A[0], A[1], period=A[0]), ValueError, r"period must be a scalar, got shape \(4,\)"),
    ],
)
def test_refusals_say_what_and_why(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
