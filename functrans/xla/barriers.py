"""Where a module has optimization barriers that XLA's passes are to leave alone."""

import enum


class Barriers(enum.IntEnum):
    """NESTED: some stand in a region, which may be the body of a loop, or in a function that is called from one."""

    NONE = 0
    STRAIGHT = 1
    NESTED = 2
