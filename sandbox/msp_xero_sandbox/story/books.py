"""The books: organisation, chart of accounts, tax rates and items as a Xero demo company (NZ) has them.

Shapes follow xero-api §6-7; money is Decimal, times are aware.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

Row = dict[str, Any]

# Code, name, type, class, default tax, what is special.
_ACCOUNTS: tuple[tuple[str, str, str, str, str, Row], ...] = (
    (
        "090",
        "Business Bank Account",
        "BANK",
        "ASSET",
        "NONE",
        {"CurrencyCode": "NZD", "BankAccountType": "BANK"},
    ),
    ("200", "Sales", "REVENUE", "REVENUE", "OUTPUT2", {}),
    ("260", "Other Revenue", "REVENUE", "REVENUE", "OUTPUT2", {}),
    ("270", "Interest Income", "OTHERINCOME", "REVENUE", "NONE", {}),
    ("290", "Hardware Sales (old)", "SALES", "REVENUE", "OUTPUT2", {"Status": "ARCHIVED"}),
    ("300", "Purchases", "DIRECTCOSTS", "EXPENSE", "INPUT2", {}),
    ("310", "Cost of Goods Sold", "DIRECTCOSTS", "EXPENSE", "INPUT2", {}),
    ("400", "Advertising", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("412", "Consulting & Accounting", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("429", "General Expenses", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("449", "Motor Vehicle Expenses", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("461", "Printing & Stationery", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("485", "Subscriptions", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("489", "Telephone & Internet", "EXPENSE", "EXPENSE", "INPUT2", {}),
    ("610", "Accounts Receivable", "CURRENT", "ASSET", "NONE", {"SystemAccount": "DEBTORS"}),
    ("630", "Inventory", "INVENTORY", "ASSET", "NONE", {}),
    ("800", "Accounts Payable", "CURRLIAB", "LIABILITY", "NONE", {"SystemAccount": "CREDITORS"}),
    ("820", "GST", "CURRLIAB", "LIABILITY", "NONE", {"SystemAccount": "GST"}),
    ("860", "Rounding", "CURRLIAB", "LIABILITY", "NONE", {"SystemAccount": "ROUNDING"}),
    ("960", "Retained Earnings", "EQUITY", "EQUITY", "NONE", {"SystemAccount": "RETAINEDEARNINGS"}),
)

# Tax type, name, rate, status, applies to (assets, equity, expenses, liabilities, revenue), components.
_TAX_RATES = (
    ("OUTPUT2", "15% GST on Income", "15.0000", "ACTIVE", "AEL-R", "OUTPUT2"),
    ("INPUT2", "15% GST on Expenses", "15.0000", "ACTIVE", "AELX-", "INPUT2"),
    ("ZERORATEDOUTPUT", "Zero Rated", "0.0000", "ACTIVE", "AEL-R", "ZERORATEDOUTPUT"),
    ("EXEMPTOUTPUT", "GST Exempt Income", "0.0000", "ACTIVE", "AEL-R", "EXEMPTOUTPUT"),
    ("NONE", "No GST", "0.0000", "ACTIVE", "AELXR", "NONE"),
    ("GSTONIMPORTS", "GST on Imports", "0.0000", "ACTIVE", "AELX-", "GSTONIMPORTS"),
    ("TAX001", "12.5% GST on Income (before 2010)", "12.5000", "DELETED", "AEL-R", "OUTPUT"),
)

# Code, name, sales price (None = without), sales account (None = without), tax type, what is special.
_ITEMS: tuple[tuple[str, str, str | None, str | None, str | None, Row], ...] = (
    ("REM-1", "Remote support", "128.1950", "200", "OUTPUT2", {}),
    ("ONS-1", "On-site support", "145.0000", "200", "OUTPUT2", {}),
    ("AFT-1", "After-hours support", "217.5000", "200", "OUTPUT2", {}),
    ("PRJ-1", "Project work", "135.0000", "200", "OUTPUT2", {}),
    ("NET-1", "Network engineering", "162.7525", "200", "OUTPUT2", {}),
    ("CON-1", "Consulting", "185.0000", "200", "OUTPUT2", {}),
    ("TRV-1", "Travel", "65.0000", "260", "OUTPUT2", {}),
    ("SEC-1", "Security review", "195.0000", "200", "OUTPUT2", {}),
    ("CLD-1", "Cloud administration", "138.3333", "200", "OUTPUT2", {}),
    ("BKP-1", "Backup and recovery", "120.0000", "200", "OUTPUT2", {}),
    ("TRN-1", "Training", "110.0000", "200", "ZERORATEDOUTPUT", {}),
    ("DEV-1", "Device setup", "95.0000", "200", "OUTPUT2", {}),
    ("TEL-1", "Telephony", "118.5000", "200", "OUTPUT2", {}),
    ("GOV-1", "Pātai advice line", "0.0000", "200", "OUTPUT2", {}),
    ("ASK-1", "Price on request", None, "200", "OUTPUT2", {}),
    ("LEG-1", "Legacy labour", "99.0000", None, None, {}),
    ("OLD-1", "Hosting 2019", "45.0000", "290", "TAX001", {}),
    ("CAB-1", "Cat6 cabling", None, None, None, {"IsSold": False}),
    ("DOCK", "USB-C dock", "289.0000", "200", "OUTPUT2", {"IsTrackedAsInventory": True}),
)
SOLD_BY_THE_HOUR = tuple(name for _, name, price, account, *_ in _ITEMS[:13] if price and account)


def uuid4(rng: Random) -> str:
    """Return a random-looking UUID that is the same for the same seed."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def write_books(rng: Random, now: datetime) -> dict[str, list[Row]]:
    """Return everything of the Xero organisation but contacts and invoices."""
    set_up = now - timedelta(days=400)
    return {
        "organisation": [_organisation(rng, set_up)],
        "accounts": [_account(rng, set_up, row) for row in _ACCOUNTS],
        "tax_rates": [_tax_rate(row) for row in _TAX_RATES],
        "items": [_item(rng, set_up, row) for row in _ITEMS],
        "branding_themes": [
            {
                "BrandingThemeID": uuid4(rng),
                "Name": name,
                "SortOrder": order,
                "Type": "INVOICE",
                "CreatedDateUTC": set_up,
            }
            for order, name in enumerate(("Standard", "Special Projects", "Very orange invoice!"))
        ],
        "tracking_categories": [
            _tracking(rng, "Region", ("Eastside", "North", "South", "West Coast")),
            _tracking(rng, "Service desk", ("Managed", "Ad hoc")),
        ],
        "currencies": [
            {"Code": "NZD", "Description": "New Zealand Dollar"},
            {"Code": "AUD", "Description": "Australian Dollar"},
            {"Code": "USD", "Description": "United States Dollar"},
        ],
    }


def _organisation(rng: Random, set_up: datetime) -> Row:
    return {
        "OrganisationID": uuid4(rng),
        "APIKey": None,
        "Name": "Kōwhai Managed IT",
        "LegalName": "Kōwhai Managed IT Limited",
        "PaysTax": True,
        "Version": "NZ",
        "OrganisationType": "COMPANY",
        "BaseCurrency": "NZD",
        "CountryCode": "NZ",
        "IsDemoCompany": True,
        "OrganisationStatus": "ACTIVE",
        "FinancialYearEndDay": 31,
        "FinancialYearEndMonth": 3,
        "SalesTaxBasis": "PAYMENTS",
        "SalesTaxPeriod": "TWOMONTHS",
        "DefaultSalesTax": "Tax Exclusive",
        "DefaultPurchasesTax": "Tax Inclusive",
        "CreatedDateUTC": set_up,
        "OrganisationEntityType": "COMPANY",
        "Timezone": "NEWZEALANDSTANDARDTIME",
        "ShortCode": "!kWh4i",
        "Class": "DEMO",
        "Edition": "BUSINESS",
    }


def _account(rng: Random, updated: datetime, row: tuple[str, str, str, str, str, Row]) -> Row:
    code, name, kind, group, tax, special = row
    return {
        "AccountID": uuid4(rng),
        "Code": code,
        "Name": name,
        "Status": "ACTIVE",
        "Type": kind,
        "TaxType": tax,
        "Class": group,
        "EnablePaymentsToAccount": False,
        "ShowInExpenseClaims": False,
        "UpdatedDateUTC": updated,
        **special,
    }


def _tax_rate(row: tuple[str, str, str, str, str, str]) -> Row:
    tax_type, name, rate, status, applies, report = row
    percent = Decimal(rate)
    return {
        "Name": name,
        "TaxType": tax_type,
        "ReportTaxType": report,
        "Status": status,
        "CanApplyToAssets": "A" in applies,
        "CanApplyToEquity": "E" in applies,
        "CanApplyToExpenses": "X" in applies,
        "CanApplyToLiabilities": "L" in applies,
        "CanApplyToRevenue": "R" in applies,
        "DisplayTaxRate": percent,
        "EffectiveRate": percent,
        "TaxComponents": [{"Name": "GST", "Rate": percent, "IsCompound": False, "IsNonRecoverable": False}],
    }


def _item(
    rng: Random, updated: datetime, columns: tuple[str, str, str | None, str | None, str | None, Row]
) -> Row:
    code, name, price, account, tax, special = columns
    sales: dict[str, Any] = {}
    if price is not None:
        sales["UnitPrice"] = Decimal(price)
    if account is not None:
        sales["AccountCode"] = account
    if tax is not None:
        sales["TaxType"] = tax
    row: dict[str, Any] = {
        "ItemID": uuid4(rng),
        "Code": code,
        "Name": name,
        "Description": f"{name}, per hour",
        "UpdatedDateUTC": updated,
        "PurchaseDetails": {},
        "SalesDetails": sales,
        "IsTrackedAsInventory": False,
        "IsSold": True,
        "IsPurchased": False,
        **special,
    }
    if not row["IsSold"]:
        row |= {"IsPurchased": True, "SalesDetails": {}, "PurchaseDescription": f"{name}, per metre"}
        row["PurchaseDetails"] = {"UnitPrice": Decimal("1.9500"), "AccountCode": "300", "TaxType": "INPUT2"}
    if row["IsTrackedAsInventory"]:
        row |= {
            "InventoryAssetAccountCode": "630",
            "QuantityOnHand": Decimal(12),
            "TotalCostPool": Decimal("2340.00"),
        }
        row |= {"IsPurchased": True, "Description": f"{name}, each"}
        row["PurchaseDetails"] = {
            "UnitPrice": Decimal("195.0000"),
            "COGSAccountCode": "310",
            "TaxType": "INPUT2",
        }
    return row


def _tracking(rng: Random, name: str, options: tuple[str, ...]) -> Row:
    return {
        "TrackingCategoryID": uuid4(rng),
        "Name": name,
        "Status": "ACTIVE",
        "Options": [
            {"TrackingOptionID": uuid4(rng), "Name": option, "Status": "ACTIVE"} for option in options
        ],
    }
