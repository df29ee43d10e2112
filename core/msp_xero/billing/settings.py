"""Settings of ``target-xero-invoices`` beyond the two connections and the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from singer_sdk import typing as th

from msp_xero.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

_TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError)
DEFAULT_REFERENCE = "Work {{ first_date }} to {{ last_date }}"

BILLING: tuple[th.Property[Any], ...] = (
    th.Property(
        "worklogs_enabled",
        th.BooleanType,
        default=True,
        title="Worklogs enabled",
        description="Switch of the worklogs job. `false`: nothing is stored, nothing is billed, and no "
        "bookmark moves; switched on again it carries on where it was.",
    ),
    th.Property(
        "push",
        th.BooleanType,
        default=True,
        title="Push",
        description="`false`: store the lines and plan nothing; no invoice is sent. "
        "`msp-xero invoices preview` shows what would be, `msp-xero invoices push` sends it.",
    ),
    th.Property(
        "invoice_status",
        th.StringType,
        default="DRAFT",
        allowed_values=["DRAFT", "SUBMITTED", "AUTHORISED"],
        title="Invoice status",
        description="Status that new invoices get in Xero. `DRAFT` can still be deleted there; "
        "`AUTHORISED` is posted at once and can only be voided.",
    ),
    th.Property(
        "number_prefix",
        th.StringType,
        default="SDP-",
        title="Number prefix",
        description="Beginning of our invoice numbers, for example `SDP-` for SDP-00001. Printable ASCII, no "
        "digit at the end. Two installations that bill into one organisation need two prefixes.",
    ),
    th.Property(
        "reference_template",
        th.StringType,
        default=DEFAULT_REFERENCE,
        title="Reference template",
        description="Jinja2 text of the invoice's reference, which customers see. Names: `account_name`, "
        "`contact_name`, `first_date`, `last_date`, `hours`, `lines`, `number`. A short marker in brackets "
        "is added behind it.",
    ),
    th.Property(
        "due_days",
        th.IntegerType(minimum=0, maximum=3650),
        default=30,
        title="Due days",
        description="Days from the invoice date to the due date, for example `20`.",
    ),
    th.Property(
        "account_code",
        th.StringType,
        title="Account code",
        description="Revenue account for items that have no sales account of their own, for example `200`.",
    ),
    th.Property(
        "tax_type",
        th.StringType,
        title="Tax type",
        description="Xero tax type for items that have none, for example `OUTPUT2`. Without it the "
        "account's default is used.",
    ),
    th.Property(
        "line_amount_types",
        th.StringType,
        default="Exclusive",
        allowed_values=["Exclusive", "Inclusive", "NoTax"],
        title="Line amount types",
        description="Whether prices are without tax (`Exclusive`), with tax (`Inclusive`) or untaxed "
        "(`NoTax`).",
    ),
    th.Property(
        "currency_code",
        th.StringType,
        title="Currency code",
        description="ISO code of the invoices' currency, for example `NZD`. Default: the organisation's. "
        "Nothing is converted: prices and charges are taken as amounts of this currency.",
    ),
    th.Property(
        "branding_theme",
        th.StringType,
        title="Branding theme",
        description="Name or id of the branding theme of our invoices. Default: the organisation's default.",
    ),
    th.Property(
        "tracking",
        th.ObjectType(additional_properties=th.StringType),
        title="Tracking",
        description="Tracking option for every line by category, at most two, for example "
        '`{"Region": "Auckland"}`.',
    ),
    th.Property(
        "batch_size",
        th.IntegerType(minimum=1, maximum=50),
        default=50,
        title="Batch size",
        description="Invoices in one call to Xero, at most 50.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=5),
        default=2,
        title="Concurrency",
        description="Calls to Xero side by side, at most 5.",
    ),
    th.Property(
        "max_lines_per_invoice",
        th.IntegerType(minimum=1, maximum=5000),
        default=500,
        title="Maximal lines per invoice",
        description="An account with more worklogs than this gets several invoices.",
    ),
    th.Property(
        "require_trailer",
        th.BooleanType,
        default=False,
        title="Require trailer",
        description="Bill only after a complete extraction whose control total agrees. Set it for "
        "`tap-msp-sdp`, which sends one; leave it off for lines of another tap.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingSettings:
    """The settings above, checked."""

    push: bool = True
    invoice_status: str = "DRAFT"
    number_prefix: str = "SDP-"
    reference_template: str = DEFAULT_REFERENCE
    due_days: int = 30
    account_code: str | None = None
    tax_type: str | None = None
    line_amount_types: str = "Exclusive"
    currency_code: str | None = None
    branding_theme: str | None = None
    tracking: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 50
    concurrency: int = 2
    max_lines_per_invoice: int = 500

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the settings.

        Raises:
            SettingError: a value that cannot work; names the setting.
        """
        names = cls.__dataclass_fields__
        settings = cls(**{name: config[name] for name in names if config.get(name) is not None})
        if not re.fullmatch(r"(?! )[ -+\--~]{1,50}", settings.number_prefix):
            # Xero's list filter separates numbers by commas, and may trim spaces before one.
            problem = "it has to be 1 to 50 printable ASCII characters, no comma, no space in front"
            raise SettingError("number_prefix", problem, "SDP-")
        if settings.number_prefix[-1].isdigit():
            # SDP-2 with 00001 reads like SDP- with 200001: one installation's numbers look like another's.
            raise SettingError("number_prefix", "it must not end with a digit: a number follows", "SDP-B-")
        if len(settings.tracking) > 2:
            raise SettingError("tracking", "Xero takes at most two categories", '{"Region": "Auckland"}')
        if settings.currency_code and not re.fullmatch(r"[A-Z]{3}", settings.currency_code):
            raise SettingError("currency_code", "it is not an ISO currency code", "NZD")
        _try_out(settings)
        return settings

    def render_reference(self, **values: Any) -> str:
        """Return the reference of an invoice, from the template.

        Raises:
            SettingError: the template fails for these values, which are not shown.
        """
        try:
            return _compiled(self.reference_template).render(values)
        except _TEMPLATE_ERRORS as error:
            problem = f"the template fails ({type(error).__name__}) for {values['lines']} lines"
            if not values["account_name"]:
                problem += " of an account without a name"
            raise SettingError("reference_template", problem, f'"{DEFAULT_REFERENCE}"') from error


def _try_out(settings: BillingSettings) -> None:
    """Render a reference as it may come: with and without a name, of one line and of many.

    Raises:
        SettingError: the template does not work.
    """
    day = date(2026, 11, 22)
    for name, lines in (("A", 1), ("", 1), ("A", 2), ("A", 500)):
        values = {"account_name": name, "contact_name": name, "first_date": day, "last_date": day}
        values |= {"hours": "0.75", "lines": lines, "number": "SDP-00001"}
        try:
            _compiled(settings.reference_template).render(values)
        except _TEMPLATE_ERRORS as error:
            problem = f"the template does not work: {error}"
            if (name, lines) != ("A", 1):
                problem += f" (for {lines} lines of an account called {name!r})"
            raise SettingError("reference_template", problem, f'"{DEFAULT_REFERENCE}"') from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    return SandboxedEnvironment(undefined=StrictUndefined).from_string(template)
