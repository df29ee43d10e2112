"""Writes of several elements: all or nothing, or each on its own (xero-api §4.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msp_xero_sandbox.xero.answers import validation
from msp_xero_sandbox.xero.rows import ZERO_ID, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from msp_xero_sandbox.xero.request import Request


@dataclass(slots=True, kw_only=True)
class Draft:
    """One submitted element: what is wrong with it, and how to save it when nothing is."""

    element: Row
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    contact_errors: list[str] = field(default_factory=list)
    line_errors: dict[int, list[str]] = field(default_factory=dict)
    commit: Callable[[], Row] | None = None

    @property
    def is_bad(self) -> bool:
        """Tell whether the element is refused."""
        return bool(self.errors or self.contact_errors or self.line_errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a kind of element is named in answers, and how it says that it is bad."""

    plural: str
    id_name: str
    flag: str


def write(
    elements: Iterable[Row],
    make: Callable[[Row], Draft],
    kind: Kind,
    request: Request,
    *,
    echo_all: bool = False,
) -> dict[str, Any]:
    """Save submitted elements as ``summarizeErrors`` asks for, and return what to show.

    Args:
        elements: The submitted objects.
        make: Checks one of them against what is saved by then.
        kind: What they are.
        request: The call.
        echo_all: A refused call shows the good elements as well.

    Returns:
        The body, without its envelope.

    Raises:
        ApiError: One element is bad and the call is all or nothing; nothing was saved.
    """
    if request.summarize_errors:
        drafts = [make(element) for element in elements]
        if any(draft.is_bad for draft in drafts):
            raise validation([_echo(draft, kind) for draft in drafts if echo_all or draft.is_bad])
        return {kind.plural: [_with_warnings(_saved(draft), draft) for draft in drafts]}
    shown = []
    for element in elements:
        draft = make(element)
        if draft.is_bad:
            shown.append({**_echo(draft, kind), "StatusAttributeString": "ERROR"})
        else:
            status = "WARNING" if draft.warnings else "OK"
            shown.append({**_with_warnings(_saved(draft), draft), "StatusAttributeString": status})
    return {kind.plural: shown}


def _saved(draft: Draft) -> Row:
    assert draft.commit is not None, "a good element can be saved"
    return draft.commit()


def _with_warnings(row: Row, draft: Draft) -> Row:
    return {**row, "Warnings": _messages(draft.warnings)} if draft.warnings else row


def _echo(draft: Draft, kind: Kind) -> Row:
    """Return the client's own values with the messages; the id stays zero for what never came to be."""
    shown = {
        kind.id_name: ZERO_ID,
        **draft.element,
        kind.flag: True,
        "ValidationErrors": _messages(draft.errors),
    }
    if draft.contact_errors and isinstance(draft.element.get("Contact"), dict):
        contact = {**draft.element["Contact"], "HasValidationErrors": True}
        shown["Contact"] = {**contact, "ValidationErrors": _messages(draft.contact_errors)}
    if draft.line_errors:
        shown["LineItems"] = [
            {**line, "ValidationErrors": _messages(draft.line_errors.get(number, []))}
            for number, line in enumerate(draft.element["LineItems"])
        ]
    if draft.warnings:
        shown["Warnings"] = _messages(draft.warnings)
    return shown


def _messages(texts: Iterable[str]) -> list[dict[str, str]]:
    return [{"Message": text} for text in texts]
