"""An alert that must belong to one object: checked on the worker, where the alert is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import NotInLake
from sodalake.lake.lanes import Finish
from sodalake.lake.survey import Survey

__all__ = ["OfObject"]


@dataclass(frozen=True, slots=True)
class OfObject:
    """Makes a product of an alert that must belong to one object: who names both means both."""

    object_id: str
    finish: Finish

    def __call__(self, alerts: list[AlertStamps], survey: Survey) -> Any:
        """Return the product; `NotInLake` where the alert is of another object."""
        for alert in alerts:
            if alert.object_id != self.object_id:
                raise NotInLake(
                    f"Alert {alert.alert_id} does not belong to object {self.object_id}.",
                    f"Leave out one of {survey.ids.alert_name} and {survey.ids.object_name}.",
                )
        return self.finish(alerts, survey)
