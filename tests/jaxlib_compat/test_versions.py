"""A jax that is not supported is refused in words: its version, those supported, the names that are missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from functrans.jaxlib_compat import versions

ROOT = Path(__file__).resolve().parents[2]


def test_missing_names_are_named_with_the_version():
    with pytest.raises(ImportError, match=r"jaxlib 0\.\d+.*jaxlib\._jax\.no_such_name\.at_all is missing.*0\.10\.2"):
        versions.private({"jaxlib._jax": ("no_such_name.at_all",)})
    with pytest.raises(ImportError, match=r'\._gone is missing; jaxlib\._jax\.not_there is missing\..*0\.13"$'):
        versions.private({"jaxlib._gone": ("x",), "jaxlib._jax": ("pjit", "not_there")})


def test_private_modules_come_in_the_order_of_the_table_and_fields_of_objects_count():
    prng, jaxlib = versions.private(
        {"jax._src.random.prng": ("PRNGKeyArray._base_array",), "jaxlib._jax": ("config.Config.value",)}
    )
    assert (prng.__name__, jaxlib.__name__) == ("jax._src.random.prng", "jaxlib._jax")
    with pytest.raises(ImportError, match=r"PRNGKeyArray\._no_field is missing"):
        versions.private({"jax._src.random.prng": ("PRNGKeyArray._no_field",)})


@pytest.mark.parametrize("version", ["0.4.38", "0.9.2", "0.10.1", "0.13.0", "1.0.0.dev20270101"])
@pytest.mark.parametrize("package", ["jax", "jaxlib"])
def test_a_version_never_tried_is_refused_by_name(package, version, monkeypatch):
    monkeypatch.setattr(f"{package}.__version__", version)
    text = (
        rf"functrans does not support jax \S+ with jaxlib \S+: {package} {re.escape(version)} has never been tried. "
        r'Supported: jax and jaxlib 0\.10\.2 to 0\.12\.x.*pip install "jax>=0.10.2,<0.13"'
    )
    with pytest.raises(ImportError, match=text):
        versions.check_supported()


def test_a_version_never_tried_runs_where_the_user_says_so_and_no_name_is_missing(monkeypatch):
    monkeypatch.setattr("jax.__version__", "0.13.0")
    with pytest.raises(ImportError, match=r"jax 0\.13\.0 has never been tried\..*or set FUNCTRANS_UNTRIED_JAX=1 to"):
        versions.check_supported()
    monkeypatch.setenv("FUNCTRANS_UNTRIED_JAX", "1")
    versions.check_supported()
    versions.private({"jaxlib._jax": ("pjit",)})
    with pytest.raises(ImportError, match=r'never been tried; jaxlib\._jax\.not_there is missing\..*0\.13"$'):
        versions.private({"jaxlib._jax": ("not_there",)})


@pytest.mark.parametrize("version", ["0.9.2", "0.13.0", "1.0.0"])
def test_importing_on_an_unsupported_version_says_so_first(version):
    """Before any other name of JAX is asked for: the rest of the package is not imported."""
    program = (
        f"import sys, jax; jax.__version__ = {version!r}\n"
        "try:\n    import functrans\n"
        "except ImportError as error:\n"
        "    print(error, {'functrans.ir', 'functrans.errors'} & sys.modules.keys(), sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith(f"functrans does not support jax {version} with jaxlib "), done.stderr
    assert done.stdout.endswith("|set()\n")


def test_the_versions_supported_are_those_that_the_package_asks_for(monkeypatch):
    requirement = f"jax>={'.'.join(map(str, versions._FIRST))},<{'.'.join(map(str, versions._PAST_LAST))}"
    assert requirement in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert requirement in versions._unsupported("", "")
    for version in ("0.10.2", "0.11.2", "0.12.0.1", "0.12.9rc1"):
        monkeypatch.setattr("jax.__version__", version)
        monkeypatch.setattr("jaxlib.__version__", version)
        versions.check_supported()


APART = """
import warnings
import jax, jax.numpy as jnp, numpy as np
import jax._src.core
del jax._src.core.Tracer._contents
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import functrans as ft, functrans.numpy as fnp
(seen,) = [str(w.message) for w in seen if w.category is RuntimeWarning]
assert "has no jax._src.core.Tracer._contents, and so JAX's functions do not take" in seen, seen

x = jnp.array([0.5, 1.0, 2.0])
ours, theirs = [lambda x, np_=np_: np_.sum(np_.sin(x) * x / (1 + x**2)) for np_ in (fnp, jnp)]
expected = np.asarray(jax.grad(theirs)(x))
bridged = ft.grad(ft.from_jax(theirs)), jax.jit(jax.grad(ft.to_jax(ours)))
for derivative in (ft.grad(ours), ft.jit(ft.grad(ours)), *bridged):
    np.testing.assert_allclose(derivative(x), expected, rtol=1e-6)
np.testing.assert_allclose(ft.vmap(ft.grad(ours))(jnp.stack([x, x])), [expected] * 2, rtol=1e-6)
np.testing.assert_allclose(ft.jit(ft.hessian(ours))(x), jax.hessian(theirs)(x), rtol=1e-5, atol=1e-6)
assert float(ft.vmap(lambda y: ft.lax.psum(y, "i"), axis_name="i")(x)[0]) == 3.5
assert float(ft.grad(lambda y: y * 2 if y > 0 else y)(1.5)) == 2.0
assert ft.grad(lambda y: fnp.sum(x.at[0].set(y[1]) * y))(x).tolist() == [1.0, 1.5, 2.0]

mixtures = {
    "JAX's function in ours": lambda: ft.grad(lambda x: jnp.sum(jnp.sin(x)))(x),
    "JAX's transform in ours": lambda: ft.grad(lambda y: jax.jit(lambda z: z * y)(x).sum())(x),
    **{
        f"ours in {name}": lambda transform=transform, f=f: transform(f)(x)
        for name, transform in {"jit": jax.jit, "grad": jax.grad, "vmap": jax.vmap}.items()
        for f in (ours, ft.jit(ours), lambda x: ft.grad(ours)(x).sum())
    },
}
for name, mixture in mixtures.items():
    try:
        found = mixture()
    except TypeError:  # an escaped tracer is one, too
        pass
    else:
        raise AssertionError(f"{name} gives {found}")
"""


def test_without_a_name_of_its_traces_jax_is_kept_apart_with_a_warning() -> None:
    """One name of JAX's is taken away: what does not join the two works, and what does is an error."""
    result = subprocess.run([sys.executable, "-c", APART], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
