"""Numbers as clients send them: JSON numbers, or the text of one."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from msp_xero_sandbox.xero.answers import post_data_invalid

# Xero takes quantities of 13 characters and amounts below ten billion (xero-api §4.2); what is far
# beyond that is not a number that it can store at all.
_BEYOND = Decimal(10) ** 13


def read_number(value: object, path: str) -> Decimal:
    """Read a number exactly.

    Args:
        value: A decoded JSON value.
        path: Where it stands, for the message.

    Returns:
        The number.

    Raises:
        ApiError: It is not a number.
    """
    if type(value) is Decimal:
        number = value
    elif type(value) is int:
        number = Decimal(value)
    elif type(value) is float:
        # Only rows that are told in Python have floats; the wire is decoded to Decimals.
        number = Decimal(repr(value))
    elif isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            raise _unreadable(value, path) from None
    else:
        raise _unreadable(value, path)
    if not number.is_finite() or abs(number) >= _BEYOND:
        raise _unreadable(value, path)
    return number


def _unreadable(value: object, path: str) -> Exception:
    return post_data_invalid(f"Error converting value \"{value}\" to type 'System.Decimal'. Path '{path}'.")
