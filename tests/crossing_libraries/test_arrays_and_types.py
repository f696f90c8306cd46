"""chex, jaxtyping with beartype, einops and PIX: what asks for an array of JAX is answered by a traced value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same
from tests.crossing_libraries.products import X, assert_products_agree

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn about is not ours to fix
TRANSFORMED = {
    "grad": lambda f: ft.grad(f),
    "jit": lambda f: ft.jit(f),
    "vmap": lambda f: lambda x: ft.vmap(f)(x[None]),
    "jit of grad": lambda f: ft.jit(ft.grad(f)),
    "grad in jax.jit": lambda f: jax.jit(ft.grad(f)),
    "jax.grad of jit": lambda f: jax.grad(ft.jit(f)),
}


@pytest.mark.parametrize("transform", TRANSFORMED)
def test_a_traced_value_is_an_array_of_jax(transform):
    asked = []

    def f(x):
        asked.append((isinstance(x, jax.Array), isinstance(x, jax.core.Tracer), isinstance(x, fnp.ndarray)))
        return jnp.sum(x)

    TRANSFORMED[transform](f)(X)
    assert asked
    assert set(asked) == {(True, True, True)}


@pytest.mark.parametrize("transform", TRANSFORMED)
def test_chex_assertions(transform):
    chex = pytest.importorskip("chex")

    def f(x):
        chex.assert_shape(x, (4, 3))
        chex.assert_type(x, float)
        chex.assert_equal_shape([x, fnp.sin(x)])
        return jnp.sum(x)

    TRANSFORMED[transform](f)(X)

    def wrong(x):
        chex.assert_rank(x, 1)
        return jnp.sum(x)

    with pytest.raises(AssertionError, match="rank"):
        TRANSFORMED[transform](wrong)(X)


def test_chex_dataclasses():
    chex = pytest.importorskip("chex")

    @chex.dataclass
    class State:
        position: chex.Array

    assert_products_agree(lambda s, x: fnp.sum(jnp.sin(s.position * x)), State(position=X[0]), X)


@pytest.mark.parametrize("transform", TRANSFORMED)
def test_jaxtyping_with_beartype(transform):
    jaxtyping, beartype = pytest.importorskip("jaxtyping"), pytest.importorskip("beartype")
    Array, Float = jaxtyping.Array, jaxtyping.Float

    def total(x: Float[Array, "n m"]) -> Float[Array, ""]:
        return jnp.sum(x)

    def matrix(x: Float[Array, "n n"]) -> Float[Array, ""]:
        return fnp.sum(x)

    checked, square = (jaxtyping.jaxtyped(f, typechecker=beartype.beartype) for f in (total, matrix))
    TRANSFORMED[transform](checked)(X)
    with pytest.raises(jaxtyping.TypeCheckError):
        TRANSFORMED[transform](square)(X)


def test_einops():
    einops = pytest.importorskip("einops")

    def loss(scale, x):
        across = einops.rearrange(x * scale, "(a b) -> b a", a=3)
        return jnp.sum(across * einops.repeat(x, "a -> b a", b=1)) + einops.reduce(across**2, "a b -> ", "mean")

    assert_products_agree(loss, jnp.float32(1.5), X)
    assert_same(ft.vmap(lambda x: einops.einsum(x, X, "a, b a -> b"))(X), X @ X.T)


def test_pix():
    pix = pytest.importorskip("dm_pix")
    images = np.cos(np.arange(2 * 6 * 6 * 3, dtype=np.float32)).reshape(2, 6, 6, 3) / 2 + 0.5

    def loss(strength, image):
        return jnp.sum(pix.gaussian_blur(image, 1.0, 3) ** 2) + jnp.sum(pix.adjust_contrast(image, strength) ** 2)

    assert_products_agree(loss, jnp.float32(0.8), images)
