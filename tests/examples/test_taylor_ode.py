"""The example of Taylor series integrates two orbits to the last digits, in fewer and longer steps than DOP853."""

import re

from tests.examples.running import run


def test_orbits_close_and_energy_is_kept(tmp_path):
    said, _ = run("taylor_ode", tmp_path / "taylor_ode.png", "--turns", "5")
    found = re.findall(r"misses by (\S+), (\d+) steps", said)
    assert len(found) == 4
    kepler, kepler_by_dop853, arenstorf, arenstorf_by_dop853 = [(float(e), int(n)) for e, n in found]
    assert kepler[0] < 2e-11 and kepler[1] < kepler_by_dop853[1] / 2
    # The derivative of the orbit's end by its start has the norm 5e4 or so, and its start is rounded.
    assert arenstorf[0] < 2e-11 and arenstorf[1] < arenstorf_by_dop853[1] / 2
    energies = re.search(r"energy, largest error +Taylor (\S+), DOP853 (\S+)", said)
    assert float(energies[1]) < 1e-13
