"""NumPyro, BlackJAX, Distrax and TensorFlow Probability with functrans' transforms, and densities of ours in them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same
from tests.crossing_libraries.products import KEY, Y, assert_products_agree

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn about is not ours to fix


def test_numpyro_densities():
    numpyro = pytest.importorskip("numpyro")
    dist = pytest.importorskip("numpyro.distributions")
    log_density = pytest.importorskip("numpyro.infer.util").log_density

    def model(y):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.StudentT(3.0, mean, scale), obs=y)

    def loss(z, y):
        return -log_density(model, (y,), {}, {"mean": z[0], "scale": jnp.exp(z[1])})[0]

    assert_products_agree(loss, jnp.float32([0.3, 0.1]), Y)


def test_numpyro_samples_a_density_of_ours():
    numpyro = pytest.importorskip("numpyro")
    dist = pytest.importorskip("numpyro.distributions")
    infer = pytest.importorskip("numpyro.infer")

    def samples(misfit):
        def model(y):
            numpyro.factor("misfit", -misfit(numpyro.sample("mean", dist.Normal(0.0, 1.0)), y))

        chain = infer.MCMC(infer.HMC(model, num_steps=3), num_warmup=4, num_samples=4, progress_bar=False)
        chain.run(KEY, Y)
        return chain.get_samples()["mean"]

    ours = samples(ft.jit(lambda mean, y: fnp.sum((y - mean) ** 2)))
    np.testing.assert_allclose(ours, samples(lambda mean, y: jnp.sum((y - mean) ** 2)), rtol=1e-4)


@pytest.mark.parametrize("sampler", ["hmc", "nuts"])
def test_blackjax_steps(sampler):
    blackjax = pytest.importorskip("blackjax")

    def step(numpy):
        def log_density(x):
            return -numpy.sum(x**4 + x**2) / 2

        options = {"num_integration_steps": 3} if sampler == "hmc" else {"max_num_doublings": 3}
        kernel = getattr(blackjax, sampler)(log_density, 1e-1, jnp.ones(2), **options)
        return lambda key, x: kernel.step(key, kernel.init(x))[0]

    start = jnp.float32([1.0, -0.5])
    expected = jax.jit(step(jnp))(KEY, start)
    assert_same(ft.jit(step(jnp))(KEY, start), expected, 1024, weak=False)
    assert_same(jax.jit(step(fnp))(KEY, start), expected, 1024, weak=False)


def test_distrax():
    distrax = pytest.importorskip("distrax")

    def loss(parameters, y):
        stretched = distrax.Transformed(distrax.Normal(parameters[0], jnp.exp(parameters[1])), distrax.Tanh())
        return -stretched.log_prob(y)

    assert_products_agree(loss, jnp.float32([0.2, 0.1]), 0.5 * Y)


def test_tensorflow_probability():
    tfp = pytest.importorskip("tensorflow_probability.substrates.jax")

    def loss(parameters, y):
        normal = tfp.distributions.Normal(parameters[0], jnp.exp(parameters[1]))
        mixed = tfp.distributions.MixtureSameFamily(
            tfp.distributions.Categorical(logits=parameters), tfp.distributions.Normal(parameters, 1.0)
        )
        return -normal.log_prob(y) - mixed.log_prob(y)

    assert_products_agree(loss, jnp.float32([0.2, 0.1]), Y)
