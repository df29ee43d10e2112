"""What an account is called, by the worklogs that were delivered of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from msp_xero.ledger.models import Worklog

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select


def newest_names(*conditions: ColumnElement[bool]) -> Select[tuple[str | None, str | None]]:
    """Return the query of ``(account id, newest name)`` of each account with worklogs that fit.

    The name is that of the worklog that was stored last; None where none of them names its account. It is
    found in one pass, and in no order of letters, which differs between databases.
    """
    newest_first = func.row_number().over(
        partition_by=Worklog.account_id,
        order_by=(Worklog.account_name.is_(None), Worklog.last_seen_at.desc(), Worklog.id.desc()),
    )
    named = select(Worklog.account_id, Worklog.account_name, newest_first.label("place")).where(*conditions)
    rows = named.subquery()
    return select(rows.c.account_id, rows.c.account_name).where(rows.c.place == 1)
