"""Every error has a status and a label, and each protocol its way to write it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator

import pytest

from sodalake.lake import errors as lake_errors
from sodalake.lake.errors import LakeError
from sodalake.server import errors
from sodalake.server.errors import as_json, as_text, fault_of, fault_of_status
from sodalake.sodacut import errors as sodacut_errors

LABELS = {
    "Error", "AuthenticationError", "AuthorizationError", "ServiceUnavailable", "UsageError",
    "MultiValuedParamNotSupported",
}  # fmt: skip


def tree(kind: type[LakeError]) -> Iterator[type[LakeError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize(
    "kind", sorted(set(tree(LakeError)), key=lambda kind: kind.__name__), ids=lambda k: k.__name__
)
def test_every_error_of_the_tree_has_a_status_and_a_label(kind: type[LakeError]) -> None:
    fault = fault_of(kind("What happened.", "What to do."))
    assert 400 <= fault.status < 600
    assert fault.status != 500
    assert fault.label in LABELS
    assert (fault.retry_after is not None) == (fault.status == 503)
    again = pickle.loads(pickle.dumps(kind("What happened.", "What to do.")))
    assert fault_of(again) == fault


@pytest.mark.parametrize(
    ("error", "status", "label"),
    [
        (lake_errors.UsageError, 400, "UsageError"),
        (lake_errors.NotInLake, 404, "UsageError"),
        (lake_errors.OutsideArchive, 403, "AuthorizationError"),
        (lake_errors.ConfigurationError, 503, "ServiceUnavailable"),
        (lake_errors.Damaged, 502, "Error"),
        (lake_errors.FileGone, 410, "Error"),
        (lake_errors.Unavailable, 503, "ServiceUnavailable"),
        (lake_errors.DeadlineExceeded, 503, "ServiceUnavailable"),
        (sodacut_errors.BadRegion, 400, "UsageError"),
        (sodacut_errors.NoCoordinates, 400, "UsageError"),
        (sodacut_errors.BadPicture, 400, "UsageError"),
        (errors.BadParameter, 400, "UsageError"),
        (errors.MultiValuedParamNotSupported, 400, "MultiValuedParamNotSupported"),
        (errors.AuthenticationError, 401, "AuthenticationError"),
        (errors.NotAllowed, 403, "AuthorizationError"),
        (errors.MethodNotAllowed, 405, "UsageError"),
        (errors.BodyTooLarge, 413, "UsageError"),
        (errors.AddressTooLong, 414, "UsageError"),
        (errors.HeadersTooLarge, 431, "UsageError"),
        (errors.NoSuchPage, 404, "UsageError"),
    ],
)
def test_statuses_and_labels(error: type[LakeError], status: int, label: str) -> None:
    fault = fault_of(error("It is so.", ""))
    assert (fault.status, fault.label) == (status, label)


@pytest.mark.parametrize(
    ("status", "label"),
    [(400, "UsageError"), (401, "AuthenticationError"), (403, "AuthorizationError"), (404, "UsageError"),
     (500, "Error"), (503, "ServiceUnavailable")],
)  # fmt: skip
def test_statuses_that_come_without_an_error(status: int, label: str) -> None:
    assert fault_of_status(status, "text").label == label


def test_how_each_protocol_writes_it() -> None:
    fault = fault_of(errors.BadParameter("Line one\nline two \ud800.", "Do this."))
    kind, body = as_text(fault)
    assert kind.startswith("text/plain")
    assert body.decode().startswith("UsageError: Line one line two")
    assert body.count(b"\n") == 1
    kind, body = as_json(fault)
    assert kind == "application/json"
    assert json.loads(body) == {
        "status": "error",
        "label": "UsageError",
        "text": "Line one\nline two \ud800.",
        "advice": "Do this.",
    }
