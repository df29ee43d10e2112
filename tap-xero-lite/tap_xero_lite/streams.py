"""The streams.

Only contacts and invoices are incremental. The others come in one call each, whole, on every run: that is
cheap, and a deleted item shows only by being absent from the whole list (xero-api §6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_xero_lite.client import Row, XeroIncrementalStream, XeroStream

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class Contacts(XeroIncrementalStream):
    """Customers and suppliers in full, archived and merged ones included."""

    name = "contacts"
    primary_keys = ("ContactID",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.contacts(if_modified_since=since, page_size=self.config["page_size"])


class Items(XeroStream):
    """Products and services with prices in four decimals; always the whole list."""

    name = "items"
    primary_keys = ("ItemID",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.items()


class Organisation(XeroStream):
    """The organisation itself: one row."""

    name = "organisation"
    primary_keys = ("OrganisationID",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return [self._tap.organisation]


class Accounts(XeroStream):
    """The chart of accounts, archived ones included."""

    name = "accounts"
    primary_keys = ("AccountID",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.accounts()


class TaxRates(XeroStream):
    """Tax rates, deleted ones included."""

    name = "tax_rates"
    primary_keys = ("TaxType",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.tax_rates()


class TrackingCategories(XeroStream):
    """Tracking categories and their options, archived ones included."""

    name = "tracking_categories"
    primary_keys = ("TrackingCategoryID",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.tracking_categories()


class BrandingThemes(XeroStream):
    """Looks of documents."""

    name = "branding_themes"
    primary_keys = ("BrandingThemeID",)

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.branding_themes()


class Invoices(XeroIncrementalStream):
    """Sales invoices and bills with their lines, of every status, oldest change first."""

    name = "invoices"
    primary_keys = ("InvoiceID",)
    is_sorted = True

    @override
    def rows(self, since: datetime | None) -> Iterable[Row]:
        return self.xero.invoices(if_modified_since=since, page_size=self.config["page_size"])


STREAMS: tuple[type[XeroStream], ...] = (
    Contacts,
    Items,
    Organisation,
    Accounts,
    TaxRates,
    TrackingCategories,
    BrandingThemes,
    Invoices,
)
