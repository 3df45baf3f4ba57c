"""What a bench reports: figures beside the marks they are to reach, and the machine they were measured on.

A number without its machine says little, and a number from a machine that was busy with other things says
less: the load average and the cores are part of every report. Ratios were measured in one run, side by
side.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "Machine", "Report"]

_VERSIONS = (
    "sodalake",
    "pyarrow",
    "hdfs-native",
    "distributed",
    "tornado",
    "lmdb",
    "thriftpy2",
    "numpy",
    "duckdb",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    row
        Short name of the row, as ``--only`` takes it.
    place
        ``embedded`` (LMDB, local files) or ``cluster`` (HBase, HDFS).
    measure
        What was measured, in words.
    reached, unit
        The number.
    mark
        What it is to reach; None: told for comparison only.
    better
        Whether ``more`` or ``less`` is better: which side of the mark is good.
    note
        What helps to judge it.
    details
        Further numbers, for ``--json``.
    """

    row: str
    place: str
    measure: str
    reached: float
    unit: str
    mark: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better than the mark (below 1: missed), or None."""
        if self.mark is None:
            return None
        over, under = (self.reached, self.mark) if self.better == "more" else (self.mark, self.reached)
        if under == 0:
            return 1.0 if over == 0 else float("inf")
        return over / under

    @property
    def met(self) -> bool | None:
        """Whether the mark is reached; None without a mark."""
        if self.mark is None:
            return None
        return self.reached >= self.mark if self.better == "more" else self.reached <= self.mark

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, with `ratio` and `met`."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


@dataclass(slots=True)
class Machine:
    """Where and when a report was made."""

    date: str
    cores: int
    processor: str
    python: str
    versions: dict[str, str]
    load_before: tuple[float, float, float]
    load_after: tuple[float, float, float] | None = None

    @classmethod
    def now(cls) -> Machine:
        """Look at this machine."""
        return cls(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            cores=os.cpu_count() or 1,
            processor=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            versions={name: version(name) for name in _VERSIONS},
            load_before=os.getloadavg(),
        )


@dataclass(slots=True)
class Report:
    """The figures of one run.

    Attributes
    ----------
    name, machine, quick
        The bench, where it ran, and whether it only showed that it runs.
    figures
        What was measured.
    left_out
        Place → why nothing was measured there.
    failed
        Place and row → what went wrong with it.
    """

    name: str
    machine: Machine
    quick: bool = False
    figures: list[Figure] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def missed(self) -> Sequence[Figure]:
        """Figures below their marks."""
        return [figure for figure in self.figures if figure.met is False]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "name": self.name,
            "quick": self.quick,
            "machine": asdict(self.machine),
            "left_out": self.left_out,
            "failed": self.failed,
            "figures": [figure.to_dict() for figure in self.figures],
        }

    def show(self, console: Console) -> None:
        """Write the table."""
        table = Table(
            title=f"sodalake bench {self.name}{' (quick)' if self.quick else ''}", title_justify="left"
        )
        for heading in ("where", "measure"):
            table.add_column(heading)
        for heading in ("reached", "wanted", "ratio"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("note")
        place = ""
        for figure in self.figures:
            if place and figure.place != place:
                table.add_section()
            place = figure.place
            table.add_row(
                figure.place,
                figure.measure,
                _number(figure.reached, figure.unit),
                _wanted(figure),
                _ratio(figure),
                figure.note,
            )
        console.print(table)
        for place, why in self.left_out.items():
            console.print(f"[red]Nothing was measured on {place}:[/red] {why}", soft_wrap=True)
        for row, why in self.failed.items():
            console.print(f"[red]Not measured ({row}):[/red] {why}", soft_wrap=True)
        machine = self.machine
        loads = "before {:.1f} {:.1f} {:.1f}".format(*machine.load_before)
        if machine.load_after is not None:
            loads += ", after {:.1f} {:.1f} {:.1f}".format(*machine.load_after)
        console.print(
            f"{machine.date}, {machine.cores} cores ({machine.processor}), load average {loads}; "
            f"Python {machine.python}, "
            + ", ".join(f"{name} {number}" for name, number in machine.versions.items()),
            soft_wrap=True,
        )


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text}{'' if unit == '×' else ' '}{unit}".strip()


def _wanted(figure: Figure) -> str:
    if figure.mark is None:
        return ""
    return f"{'≥' if figure.better == 'more' else '≤'} {_number(figure.mark, figure.unit)}"


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    colour = "green" if figure.met else "red"
    return f"[{colour}]{figure.ratio:.2f}[/{colour}]"
