"""What the directory needs of ServiceDesk Plus MSP; the client offers it, and tests replace it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence

Row = dict[str, Any]


class AccountSide(Protocol):
    """Reading and writing accounts."""

    @property
    def calls(self) -> Counter[str]:
        """Requests made so far, by endpoint."""
        ...

    def accounts(self, fields: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield all accounts with the given columns."""
        ...

    def account_metainfo(self) -> Row:
        """Return what the installation tells about account fields."""
        ...

    def create_account(self, values: Mapping[str, Any]) -> Row:
        """Create an account and return it as stored."""
        ...

    def update_account(self, account_id: str, values: Mapping[str, Any]) -> Row:
        """Change the given members of an account and return it as stored."""
        ...


class TypeSide(Protocol):
    """Reading and writing worklog types."""

    @property
    def calls(self) -> Counter[str]:
        """Requests made so far, by endpoint."""
        ...

    def worklog_types(self, *, include_inactive: bool = True) -> Iterator[Row]:
        """Yield all worklog types."""
        ...

    def create_worklog_type(self, values: Mapping[str, Any]) -> Row:
        """Create a worklog type and return it as stored."""
        ...

    def update_worklog_type(self, type_id: str, values: Mapping[str, Any]) -> Row:
        """Change the given members of a worklog type and return it as stored."""
        ...
