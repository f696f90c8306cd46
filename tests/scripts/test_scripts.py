"""Scripts written against JAX run unchanged but for their imports, and give what they give with JAX."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.turns import covering_share

SCRIPTS = sorted(p for p in Path(__file__).parent.glob("*.py") if p.stem not in ("__init__", "test_scripts"))


def with_other_imports(source: str) -> str:
    source = re.sub(r"^import jax$", "import functrans as jax", source, flags=re.MULTILINE)
    return re.sub(r"^(import|from) jax\b", r"\1 functrans", source, flags=re.MULTILINE)


def run(source: str, name: str) -> dict[str, Any]:
    module = types.ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    result: dict[str, Any] = module.main()
    return result


def test_there_are_fifteen() -> None:
    assert len(SCRIPTS) >= 15


@pytest.mark.parametrize("path", covering_share(SCRIPTS, 3), ids=lambda p: p.stem)
def test_a_script_gives_what_it_gives_with_jax(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    ours = with_other_imports(source)
    changed = [(a, b) for a, b in zip(source.splitlines(), ours.splitlines(), strict=True) if a != b]
    assert changed
    assert all(re.match(r"(import|from) jax\b", a) for a, _ in changed)
    assert "jax" not in {name.split(".")[0] for name in re.findall(r"^(?:import|from) (\S+)", ours, re.MULTILINE)}
    found, expected = run(ours, path.stem), run(source, f"{path.stem}_jax")
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for place, a in jax.tree_util.tree_leaves_with_path(found):
        b = next(x for p, x in jax.tree_util.tree_leaves_with_path(expected) if p == place)
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert np.isfinite(a).all()
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * scale, err_msg=f"{path.stem}{place}")
