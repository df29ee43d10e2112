"""Dates and times as Xero writes and reads them (xero-api §4.8)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_WIRE = re.compile(r"/Date\((-?\d+)([+-]\d{4})?\)/")
# Xero names time zones as Windows does, in capitals and without spaces.
_ZONES = {
    "NEWZEALANDSTANDARDTIME": "Pacific/Auckland",
    "AUSEASTERNSTANDARDTIME": "Australia/Sydney",
    "EAUSTRALIASTANDARDTIME": "Australia/Brisbane",
    "WAUSTRALIASTANDARDTIME": "Australia/Perth",
    "GMTSTANDARDTIME": "Europe/London",
    "EASTERNSTANDARDTIME": "America/New_York",
    "CENTRALSTANDARDTIME": "America/Chicago",
    "PACIFICSTANDARDTIME": "America/Los_Angeles",
    "WEUROPESTANDARDTIME": "Europe/Berlin",
    "INDIASTANDARDTIME": "Asia/Kolkata",
    "SINGAPORESTANDARDTIME": "Asia/Singapore",
    "UTC": "UTC",
}


def wire_time(moment: datetime) -> str:
    """Write a time as ``/Date(ms+0000)/``."""
    return f"/Date({(moment - _EPOCH) // _MILLISECOND}+0000)/"


def bare_wire_time(moment: datetime) -> str:
    """Write a time without its offset, as envelopes and just-created items have it."""
    return f"/Date({(moment - _EPOCH) // _MILLISECOND})/"


def wire_date(day: date) -> str:
    """Write a calendar date as midnight UTC."""
    return f"/Date({(day - _EPOCH_DAY).days * 86_400_000}+0000)/"


def date_string(day: date) -> str:
    """Write a calendar date as the ``…String`` members have it."""
    return f"{day.isoformat()}T00:00:00"


def utc_string(moment: datetime) -> str:
    """Write a time as ``UpdatedDateUTCString`` has it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_date(value: object) -> date:
    """Read a calendar date: ``2026-11-22``, with a time, or ``/Date(ms)/``; ValueError otherwise."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise ValueError(f"not a date: {value!r}")  # noqa: TRY004 - a client's bad value like any other
    if match := _WIRE.fullmatch(value):
        return (_EPOCH + timedelta(milliseconds=int(match[1]))).date()
    return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value).date()


def read_time(value: object) -> datetime:
    """Read a time, in UTC when it names no zone: ISO, ``/Date(ms)/`` or a datetime; ValueError otherwise."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and (match := _WIRE.fullmatch(value)):
        moment = _EPOCH + timedelta(milliseconds=int(match[1]))
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
    else:
        raise ValueError(f"not a time: {value!r}")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_modified_since(text: str) -> datetime | None:
    """Read If-Modified-Since: ISO with or without a zone, or RFC 1123; None when it is neither."""
    try:
        return read_time(text.strip())
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def local_today(now: datetime, time_zone: str) -> date:
    """Return the day it is where the organisation is."""
    return now.astimezone(ZoneInfo(_ZONES.get(time_zone, "UTC"))).date()


def spoken_date(day: date) -> str:
    """Write a date as Xero's messages do: 31 March 2026."""
    return f"{day.day} {day:%B %Y}"
