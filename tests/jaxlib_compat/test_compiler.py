"""Text, options and what XLA says of them."""

from __future__ import annotations

import jax
import pytest

from functrans.jaxlib_compat import configuration, executors
from functrans.xla.compilation import compile_text
from tests.jaxlib_compat.doubling import F32, text


def test_compile_accepts_text_and_bytes_and_options():
    device = configuration.default_device()
    for source in (text("f32"), text("f32").encode()):
        executable = compile_text(
            source, device, disable_fusion=True, extra_options={"xla_disable_hlo_passes": "cse_barrier_expander"}
        )
        (out,) = executors.executor(executable, [F32], [F32], device, "double")(2.0)
        assert out == 4.0


def test_disable_fusion_leaves_no_fusion():
    device = configuration.default_device()
    chain = """module @m { func.func public @main(%a: tensor<64xf32>) -> tensor<64xf32> {
      %0 = stablehlo.sine %a : tensor<64xf32>
      %1 = stablehlo.multiply %0, %a : tensor<64xf32>
      %2 = stablehlo.cosine %1 : tensor<64xf32>
      return %2 : tensor<64xf32> } }"""

    def kernels(disable: bool) -> int:
        return compile_text(chain, device, disable_fusion=disable).hlo_modules()[0].to_string().count(" fusion(")

    assert kernels(False) == 1
    assert kernels(True) == (3 if device.platform == "cpu" else 1)


def test_extra_options_reach_the_compiler_and_unknown_ones_are_refused():
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_option"):
        compile_text(text("f32"), configuration.default_device(), extra_options={"xla_no_such_option": "1"})


def test_wrong_text_raises_the_message_of_xla():
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_operation"):
        compile_text(
            text("f32").replace("stablehlo.add", "stablehlo.no_such_operation"), configuration.default_device()
        )
