"""The scenario table: importing this module fills it. Benchmarks and tests read the same table."""

from __future__ import annotations

from benchmarks import arithmetic, estimation, learning, nested, vision
from benchmarks.scenario import SCENARIOS, VARIANTS, Scenario

__all__ = ["SCENARIOS", "VARIANTS", "Scenario", "arithmetic", "estimation", "learning", "nested", "vision"]
