"""How a stored login stands, told from the token store alone: no call is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msp_xero.errors import SettingError
from msp_xero.xero.auth import connection_name
from msp_xero.xero.scopes import missing
from msp_xero.xero.tokens import Token, TokenStore

if TYPE_CHECKING:
    from msp_xero.xero.settings import XeroSettings

SOON = timedelta(days=7)
VERY_SOON = timedelta(days=2)

LOGIN = "Connect with `msp-xero login`."
_AGAIN = "Connect again with `msp-xero login`."
_USE_IT = "Any run renews it for 60 days, `msp-xero doctor` too; look why none did."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A login as it is stored.

    Attributes:
        state: ``good``, ``ends_soon`` (7 days), ``ends_very_soon`` (2 days), ``ended``, ``revoked``,
            ``absent``, or ``unusable`` (the store).
        seen: what was seen, in a few words.
        advice: what to do; empty when nothing is.
        ends_at: when it ends unless it is used before; aware UTC.
        organisation: the name of the chosen organisation; empty when none was.
        tenant_id: its id.
        scope: the granted scopes, separated by spaces.
    """

    state: str
    seen: str
    advice: str = ""
    ends_at: datetime | None = None
    organisation: str = ""
    tenant_id: str | None = None
    scope: str = ""

    @property
    def needs_person(self) -> bool:
        """Tell whether runs fail, or will within two days, unless a person does something."""
        return self.state not in {"good", "ends_soon"}

    @property
    def missing_scopes(self) -> list[str]:
        """The scopes that the login lacks for what msp-xero does; none when Xero did not tell them."""
        return [need.scope for need in missing(self.scope)] if self.scope else []


def standing(settings: XeroSettings, now: datetime) -> Standing | None:
    """Return how the login of a connection stands; None for a Custom Connection, which has none.

    Args:
        settings: the connection.
        now: aware UTC.
    """
    if settings.grant != "authorization_code":
        return None
    try:
        token = TokenStore(settings.token_store).load(connection_name(settings))
    except SettingError as error:
        return Standing(state="unusable", seen=str(error))
    if token is None:
        return Standing(state="absent", seen=f"no login is stored in {settings.token_store}", advice=LOGIN)
    state, seen, advice = _judged(token, now)
    return Standing(
        state=state,
        seen=seen,
        advice=advice,
        ends_at=token.ends_at,
        organisation=token.tenant_name,
        tenant_id=token.tenant_id,
        scope=token.scope,
    )


def _judged(token: Token, now: datetime) -> tuple[str, str, str]:
    ends_at = token.ends_at
    if token.refused_at is not None:
        return "revoked", f"Xero refused the login on {token.refused_at:%Y-%m-%d %H:%M} UTC", _AGAIN
    if ends_at is None or ends_at <= now:
        when = f" on {ends_at:%Y-%m-%d}" if ends_at else ""
        return "ended", f"the login ended{when}, because it was not used for 60 days", _AGAIN
    left = ends_at - now
    seen = f"the login ends on {ends_at:%Y-%m-%d} if nothing uses it before"
    if left <= SOON:
        hours = left // timedelta(hours=1)
        span = f"{left.days} days" if left > VERY_SOON else f"{hours} hours" if hours > 1 else "an hour"
        return ("ends_very_soon" if left <= VERY_SOON else "ends_soon"), f"{seen}, in {span}", _USE_IT
    return "good", seen, ""
