"""Who is asking: every request carries a `User`, and this is the one place that decides which.

Owners, permissions and quotas ask the `User` and nothing else. Bearer tokens, session cookies and a hub's
headers will be ways to make one; today every visitor is anonymous.
"""

from __future__ import annotations

from dataclasses import dataclass

from tornado.httputil import HTTPServerRequest

__all__ = ["ANONYMOUS", "User", "user_of"]


@dataclass(frozen=True, slots=True)
class User:
    """A visitor.

    Attributes
    ----------
    name
        The account's name; None for a visitor who is anonymous.
    groups
        The groups the account belongs to.
    """

    name: str | None = None
    groups: frozenset[str] = frozenset()

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is known of this visitor."""
        return self.name is None

    def __str__(self) -> str:
        return self.name or "anonymous"


ANONYMOUS = User()


def user_of(request: HTTPServerRequest) -> User:
    """Return the user of `request`.

    Nothing a visitor sends makes a name yet, so an `Authorization` header is neither trusted nor refused: a
    client that always sends one (pyvo with a session) still reads what is public.
    """
    return ANONYMOUS
