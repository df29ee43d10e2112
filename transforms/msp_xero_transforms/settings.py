"""The settings of the mapper: their shape, their texts and their defaults."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

MODULES = {
    "requests": "request",
    "problems": "problem",
    "changes": "change",
    "projects": "project",
    "tasks": "task",
}
"""Names of the modules in settings, and in the records."""

DEFAULT_ACCOUNT_FIELDS = {
    "emailid": "EmailAddress",
    "landline": "Phones.DEFAULT",
    "fax": "Phones.FAX",
    "weburl": "Website",
    "street": "{Addresses.STREET.AddressLine1}, {Addresses.STREET.AddressLine2}, "
    "{Addresses.STREET.AddressLine3}, {Addresses.STREET.AddressLine4}",
    "city": "Addresses.STREET.City",
    "state": "Addresses.STREET.Region",
    "postalcode": "Addresses.STREET.PostalCode",
    "country": "Addresses.STREET.Country",
}

DEFAULT_DESCRIPTION_TEMPLATE = (
    "{{ parent }}{% if parent_title %}: {{ parent_title }}{% endif %}"
    "{% if task_title %} / {{ task_title }}{% endif %}\n"
    "{% if technician_name %}{{ technician_name }}, {% endif %}{{ work_date }}"
    "{% if lump_sum and minutes %}, {{ duration }}{% endif %}\n"
    "{{ text }}"
)

_ACCOUNT_SETTINGS = (
    th.Property(
        "contacts",
        th.StringType,
        default="all",
        allowed_values=["all", "customers"],
        title="Contacts",
        description=(
            "Which active Xero contacts become accounts. `all`: every contact that is not only a supplier, "
            "because Xero calls a contact a customer only after its first invoice. `customers`: only those. "
            "Archived contacts are always passed on, so that their links learn it. Example: `customers`."
        ),
    ),
    th.Property(
        "account_fields",
        th.ObjectType(additional_properties=True),
        default=DEFAULT_ACCOUNT_FIELDS,
        title="Account fields",
        description=(
            "Map of ServiceDesk Plus account field to Xero contact field; it replaces the default map as a "
            "whole. A value is a path, or a text with paths in braces. Example: "
            '`{"emailid": "EmailAddress", "landline": "Phones.DEFAULT", "city": "Addresses.STREET.City", '
            '"udf_fields.udf_sline_101": "TaxNumber"}`.'
        ),
    ),
    th.Property(
        "type_name_from",
        th.StringType,
        default="name",
        allowed_values=["name", "code"],
        title="Type name from",
        description=(
            "Which text of a Xero item names the worklog type: its `name`, or its `code`. The other one is "
            "used when the chosen one is empty. Example: `code`."
        ),
    ),
)

_WORKLOG_SETTINGS = (
    th.Property(
        "modules",
        th.ArrayType(th.StringType(allowed_values=list(MODULES))),
        default=list(MODULES),
        title="Modules",
        description=(
            "Modules whose worklogs are billed; worklogs of the others are excluded by rule. "
            'Example: `["requests", "projects"]`.'
        ),
    ),
    th.Property(
        "exclude_non_billable",
        th.BooleanType,
        default=False,
        title="Exclude non-billable worklogs",
        description=(
            "Exclude worklogs that are marked as not billable. A worklog without the mark is billed. "
            "Example: `true`."
        ),
    ),
    th.Property(
        "default_worklog_type",
        th.StringType,
        title="Default worklog type",
        description=(
            "Name of the worklog type for worklogs that have none; without it they are held as "
            "`TYPE_MISSING`. Example: `Remote support`."
        ),
    ),
    th.Property(
        "rate_source",
        th.StringType,
        default="item_price",
        allowed_values=["item_price", "worklog_charge"],
        title="Rate source",
        description=(
            "Where the money comes from. `item_price`: hours at the price of the Xero item. "
            "`worklog_charge`: the worklog's total cost as ServiceDesk Plus shows it, in the currency of the "
            "invoice. "
            "Example: `worklog_charge`."
        ),
    ),
    th.Property(
        "include_additional_cost",
        th.BooleanType,
        default=False,
        title="Include additional cost",
        description=(
            "Add the worklog's additional cost (materials and the like) to its charge. Needs `rate_source: "
            "worklog_charge` and `additional_cost_field`. Example: `true`."
        ),
    ),
    th.Property(
        "additional_cost_field",
        th.StringType,
        title="Additional cost field",
        description=(
            "Path of the amount within a worklog record, under `extra` or `udf_fields`; a list on the way is "
            "added up. Its name differs between builds of ServiceDesk Plus. "
            "Example: `extra.additional_costs.amount`."
        ),
    ),
    th.Property(
        "time_zone",
        th.StringType,
        default="UTC",
        title="Time zone",
        description=(
            "IANA name of the time zone that decides on which date work was done; use that of the Xero "
            "organisation. Example: `Pacific/Auckland`."
        ),
    ),
    th.Property(
        "description_template",
        th.StringType,
        default=DEFAULT_DESCRIPTION_TEMPLATE,
        title="Description template",
        description=(
            "Jinja2 template of an invoice line's description; at most 3,920 characters of its result are "
            "kept. Example: `{{ work_date }} {{ technician_name }}: {{ text }}`."
        ),
    ),
)

_LEDGER_SETTINGS = (
    th.Property(
        "ledger_url",
        th.StringType,
        secret=True,
        title="Ledger URL",
        description=(
            "Database of the ledger. When set, every worklog that is stored there and not invoiced yet is "
            "turned into a line again before the tap's worklogs, so that changed rules apply to it. "
            "Example: `sqlite:///.msp-xero/ledger.db`."
        ),
    ),
    th.Property(
        "connection",
        th.StringType,
        default="default",
        title="Connection",
        description="Name of the ServiceDesk Plus and Xero pair in the ledger. Example: `default`.",
    ),
)

CONFIG_JSONSCHEMA: dict[str, Any] = th.PropertiesList(
    *_ACCOUNT_SETTINGS, *_WORKLOG_SETTINGS, *_LEDGER_SETTINGS
).to_dict()
