"""Units of IN_UNIT (ADQL 2.1, 4.9): what a number is multiplied with."""

from __future__ import annotations

import functools

from sodalake.lake.importing import IMPORTS

__all__ = ["factor"]


@functools.lru_cache(maxsize=1024)
def factor(given: str, wanted: str) -> float:
    """Return the factor from one unit to another, both in VOUnits.

    Raises
    ------
    ValueError
        With a sentence: no unit, a function of one (mag(Jy)), or units of different things.
    """
    with IMPORTS:
        from astropy import units as u  # half a second, which only queries with IN_UNIT wait for

    made = []
    for text in (given, wanted):
        try:
            made.append(u.Unit(text, format="vounit", parse_strict="raise"))
        except (ValueError, TypeError, u.UnitsError) as error:
            raise ValueError(f"“{text}” is no unit.") from error
    if any(not isinstance(unit, u.UnitBase) for unit in made):
        raise ValueError(f"No factor leads from {given} to {wanted}.")
    try:
        return float(made[0].to(made[1]))
    except u.UnitConversionError as error:
        raise ValueError(f"{given} cannot be made {wanted}.") from error
