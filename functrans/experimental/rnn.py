"""``jax.experimental.rnn``: JAX's own LSTM, for GPUs, and the one it is compared with, which runs everywhere."""

from jax.experimental.rnn import PRNGKeyArray as PRNGKeyArray
from jax.experimental.rnn import Shape as Shape  # type: ignore[attr-defined]
from jax.experimental.rnn import get_num_params_in_lstm as get_num_params_in_lstm
from jax.experimental.rnn import init_lstm_weight as init_lstm_weight
from jax.experimental.rnn import lstm as lstm
from jax.experimental.rnn import lstm_ref as lstm_ref
from jax.experimental.rnn import swap_lstm_gates as swap_lstm_gates
from jax.experimental.rnn import unpack_lstm_weights as unpack_lstm_weights
