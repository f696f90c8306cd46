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
