"""Errors as a client meets them: the status, the label, and the way each protocol writes it.

The rooms below raise domain errors and know no HTTP. Here, and only here, each of them gets its HTTP status
and its DALI label. What the server itself finds wrong with a request is this tree, which hangs below the
lake's::

    lake.errors.LakeError
    ├── UsageError
    │   └── BadRequest                        what the server finds wrong with a request: 400 unless said
    │       ├── BadParameter                  a parameter is missing, malformed or out of its range
    │       ├── MultiValuedParamNotSupported  a parameter was repeated that has one value (SODA 1.0, 3.1)
    │       ├── AuthenticationError           401: who asks is not known, and must be
    │       ├── NotAllowed                    403: who asks is known, and may not
    │       ├── MethodNotAllowed              405
    │       ├── BodyTooLarge                  413
    │       ├── AddressTooLong                414
    │       └── HeadersTooLarge               431
    └── NotInLake
        └── NoSuchPage                        404: no resource at this path

What is wrong with a job is a `UwsError` (`uws.errors`), which has its statuses here too. An illegal change of
phase is 403, as UWS 1.1 (2.2) wants it, and the client's mistake none the less.

Labels are those of SODA 1.0 (5.2) and DALI 1.1 (4.2): Error, AuthenticationError, AuthorizationError,
ServiceUnavailable, UsageError, MultiValuedParamNotSupported. A deadline that passed is 503, not 504: the
label that fits is ServiceUnavailable, the same request may pass a moment later, and the clients' retry rules
(urllib3's among them) honour Retry-After on 503 and not on 504.

An error that is not in the tree is a bug of ours. It is logged with the id of its request, and the client
gets that id and no traceback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sodalake.lake.errors import (
    ConfigurationError,
    Damaged,
    DeadlineExceeded,
    FileGone,
    LakeError,
    NotInLake,
    OutsideArchive,
    Unavailable,
    UsageError,
)
from sodalake.sodacut.images.costs import TooExpensive
from sodalake.tap.errors import QueryTimeout
from sodalake.uws.errors import (
    BadJob,
    Full,
    IllegalTransition,
    NoSuchJob,
    NotYours,
    StoreUnavailable,
    TooMuch,
    UwsError,
)

__all__ = [
    "AddressTooLong",
    "AuthenticationError",
    "BadParameter",
    "BadRequest",
    "BodyTooLarge",
    "Fault",
    "HeadersTooLarge",
    "MethodNotAllowed",
    "MultiValuedParamNotSupported",
    "NoSuchPage",
    "NotAllowed",
    "as_json",
    "as_text",
    "fault_of",
    "fault_of_status",
]


class BadRequest(UsageError):
    """What the server finds wrong with a request."""

    status = 400


class BadParameter(BadRequest):
    """A parameter is missing, malformed or out of its range."""


class MultiValuedParamNotSupported(BadRequest):
    """A parameter was repeated that this service takes once (SODA 1.0, 3.1)."""


class AuthenticationError(BadRequest):
    """Who asks is not known: what was sent to prove it proves nothing, or nothing was sent where a name is needed.

    Answered with the ways to log in (SSO 2.0; RFC 9110, 11.6.1).
    """

    status = 401


class NotAllowed(BadRequest):
    """Who asks is known, and may not do this."""

    status = 403


class MethodNotAllowed(BadRequest):
    """The resource exists, but not for this method."""

    status = 405


class BodyTooLarge(BadRequest):
    """The request's body is longer than the service reads."""

    status = 413


class AddressTooLong(BadRequest):
    """The request's URL is longer than the service reads."""

    status = 414


class HeadersTooLarge(BadRequest):
    """The request line and headers together are longer than the service reads."""

    status = 431


class NoSuchPage(NotInLake):
    """There is no resource at this path."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error, ready to be written.

    Attributes
    ----------
    status
        HTTP status.
    label
        DALI's label.
    text
        What happened, in a sentence.
    advice
        What the person can do about it; may be empty.
    retry_after
        Seconds after which the same request may pass, or None.
    details
        More for machines, where the error is written as JSON.
    """

    status: int
    label: str
    text: str
    advice: str = ""
    retry_after: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The text and the advice as one line."""
        return " ".join(f"{self.text} {self.advice}".split())


# The first class that matches decides, so a class stands before those it derives from.
_RULES: tuple[tuple[type[LakeError], int, str], ...] = (
    (MultiValuedParamNotSupported, 400, "MultiValuedParamNotSupported"),
    (OutsideArchive, 403, "AuthorizationError"),
    (AuthenticationError, 401, "AuthenticationError"),
    (NotAllowed, 403, "AuthorizationError"),
    # A setting that is wrong is not the visitor's fault, though the tree calls it a usage error: it is the
    # operator's.
    (ConfigurationError, 503, "ServiceUnavailable"),
    (TooExpensive, 413, "UsageError"),
    (UsageError, 400, "UsageError"),
    (NotInLake, 404, "UsageError"),
    (FileGone, 410, "Error"),
    (Damaged, 502, "Error"),
    # The same query would take as long again, so no Retry-After asks for it.
    (QueryTimeout, 408, "ServiceUnavailable"),
    (DeadlineExceeded, 503, "ServiceUnavailable"),
    (Unavailable, 503, "ServiceUnavailable"),
    (LakeError, 502, "Error"),
)
_UWS_RULES: tuple[tuple[type[UwsError], int, str], ...] = (
    (NoSuchJob, 404, "UsageError"),
    (NotYours, 403, "AuthorizationError"),
    (IllegalTransition, 403, "UsageError"),
    (BadJob, 400, "UsageError"),
    (TooMuch, 429, "ServiceUnavailable"),
    (Full, 503, "ServiceUnavailable"),
    (StoreUnavailable, 503, "ServiceUnavailable"),
    (UwsError, 500, "Error"),
)
_FULL_RETRY_AFTER_SECONDS = 10  # jobs end, some of them, well within it
_RETRY_AFTER_SECONDS = 2  # an actor is made anew, or a connection opened, well within it


def fault_of(error: LakeError | UwsError) -> Fault:
    """Return how `error` is told to a client.

    `BadRequest` and what derives from it carry their own status; the others have it from their place in the
    tree.
    """
    if isinstance(error, UwsError):
        status, label = next((status, label) for kind, status, label in _UWS_RULES if isinstance(error, kind))
    else:
        status, label = next((status, label) for kind, status, label in _RULES if isinstance(error, kind))
    if isinstance(error, BadRequest):
        status = error.status
    retry_after = _RETRY_AFTER_SECONDS if status == 503 else None
    if isinstance(error, TooMuch | Full):
        retry_after = _FULL_RETRY_AFTER_SECONDS
    return Fault(status, label, error.message, error.advice, retry_after)


def fault_of_status(status: int, text: str, advice: str = "") -> Fault:
    """Return the fault of an error that came from the HTTP layer with nothing but a `status` and a `text`."""
    if status == 401:
        label = "AuthenticationError"
    elif status == 403:
        label = "AuthorizationError"
    elif status == 503:
        label = "ServiceUnavailable"
    elif status < 500:
        label = "UsageError"
    else:
        label = "Error"
    return Fault(status, label, text, advice, _RETRY_AFTER_SECONDS if status == 503 else None)


def as_text(fault: Fault) -> tuple[str, bytes]:
    """Write `fault` the way of SODA 1.0 (5.2): text/plain that starts with the label."""
    return "text/plain; charset=utf-8", f"{fault.label}: {fault.sentence}\n".encode("utf-8", "replace")


def as_json(fault: Fault) -> tuple[str, bytes]:
    """Write `fault` as the JSON object of the REST API: status, label, text and advice; and more where there is."""
    document = {
        "status": "error", "label": fault.label, "text": fault.text, "advice": fault.advice, **fault.details
    }  # fmt: skip
    return "application/json", (json.dumps(document) + "\n").encode()
