"""The organisation of a connection: tied to it at first sight, and no other one is let in later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msp_xero.errors import LedgerError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from msp_xero.ledger.models import BillingConnection
    from msp_xero.ledger.store import Ledger


def refuse_other(row: BillingConnection, organisation_id: str, name: str) -> None:
    """Raise LedgerError when the credentials lead to another organisation than the connection's."""
    if row.organisation_id not in (None, organisation_id):
        raise LedgerError(
            f"these credentials lead to the Xero organisation {name}, but connection {row.name} bills "
            f"{row.organisation_name}. Correct the credentials or the tenant_id; to bill {name} from now on, "
            "run `msp-xero reinitialise`"
        )


def pin(session: Session, ledger: Ledger, organisation_id: str, name: str) -> BillingConnection:
    """Tie the connection to an organisation; a new name of the same one is followed.

    Raises:
        LedgerError: the connection is tied to another one.
    """
    row = ledger.connection(session)
    refuse_other(row, organisation_id, name)
    row.organisation_id, row.organisation_name = organisation_id, name
    return row
