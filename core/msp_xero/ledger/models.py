"""The tables of the ledger. Constraints of the database, not only code, hold "never twice"."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from msp_xero.ledger.types import Amount, ExactJson, UtcDateTime

WORKLOG_MODULES = ("request", "problem", "change", "project", "task")
"""Where worklogs of ServiceDesk Plus are; lines of other taps name modules of their own."""

WORKLOG_STATES = ("open", "held", "excluded", "planned", "invoiced")
INVOICE_STATES = (
    "planned",
    "sending",
    "unknown",
    "conflict",
    "rejected",
    "created",
    "paid",
    "voided",
    "deleted",
)
LINK_STATES = ("unmapped", "linked", "ignored", "refused")


def _one_of(column: str, allowed: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in allowed)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Base(DeclarativeBase):
    """The base of all tables; constraints are named so that migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - the declarative API wants it as a plain class attribute
        Decimal: Amount,
        datetime: UtcDateTime,
        date: Date,
        dict[str, Any]: ExactJson,
        list[Any]: ExactJson,
    }


class BillingConnection(Base):
    """One SDP installation paired with one Xero organisation.

    ``generation`` grows when a person starts over with another organisation: links and invoices
    carry the generation they were made in, so history stays readable and billed stays billed.
    ``settle_epoch`` grows with every settle: a holder of the lock that wakes up late finds another
    epoch and cannot write any more.
    ``bookmarks``: the bookmarks of the worklogs stream that this ledger has let pass, by module.
    ``contacts_read_to``: up to which time of change this generation has all contacts; None before it
    was given all of them once.
    ``sdp_base_url``: the address that the links of accounts were made with; ``sdp_types_url``: that of
    the links of worklog types. Each job compares its own links before it replaces its own address.
    """

    __tablename__ = "connection"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    generation: Mapped[int] = mapped_column(default=1)
    sdp_base_url: Mapped[str | None] = mapped_column(Text)
    sdp_types_url: Mapped[str | None] = mapped_column(Text)
    organisation_id: Mapped[str | None] = mapped_column(String(64))
    organisation_name: Mapped[str | None] = mapped_column(Text)
    short_code: Mapped[str | None] = mapped_column(String(32))
    base_currency: Mapped[str | None] = mapped_column(String(3))
    next_number: Mapped[int] = mapped_column(default=1)
    settle_epoch: Mapped[int] = mapped_column(default=0)
    accounts_synced_at: Mapped[datetime | None]
    worklog_types_synced_at: Mapped[datetime | None]
    invoices_refreshed_at: Mapped[datetime | None]
    look_stopped_at: Mapped[datetime | None]
    day_calls_remaining: Mapped[int | None]
    day_calls_seen_at: Mapped[datetime | None]
    bookmarks: Mapped[dict[str, Any] | None]
    contacts_read_to: Mapped[datetime | None]
    created_at: Mapped[datetime]


class PastGeneration(Base):
    """An organisation that a connection billed before it started over; its history names it."""

    __tablename__ = "past_generation"
    __table_args__ = (UniqueConstraint("connection_id", "generation"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    generation: Mapped[int]
    organisation_id: Mapped[str | None] = mapped_column(String(64))
    organisation_name: Mapped[str | None] = mapped_column(Text)
    short_code: Mapped[str | None] = mapped_column(String(32))
    base_currency: Mapped[str | None] = mapped_column(String(3))
    ended_at: Mapped[datetime]


class ForeignLine(Base):
    """A worklog on a line in Xero that is not this ledger's, as the last look told.

    The invoice is a stranger's, or one of ours that a person put the line on. Those without a contact are of
    another kind: see :mod:`msp_xero.ledger.second_look`, where ``is_tried`` says that a look found none.
    """

    __tablename__ = "foreign_line"
    __table_args__ = (
        Index("ix_foreign_line_invoice", "connection_id", "invoice_id"),
        Index("ix_foreign_line_worklog", "connection_id", "worklog_id"),
        Index(
            "ix_foreign_line_awaited",
            "connection_id",
            sqlite_where=text("contact_id IS NULL"),
            postgresql_where=text("contact_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    generation: Mapped[int]
    invoice_id: Mapped[str] = mapped_column(String(64))
    number: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[str | None] = mapped_column(String(64))
    module: Mapped[str] = mapped_column(String(20))
    worklog_id: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    is_ours: Mapped[bool]
    is_tried: Mapped[bool] = mapped_column(default=False)


class LineToldApart(Base):
    """A person's word that a worklog is other work than this line of an invoice that is not this ledger's.

    ``digest`` is of the text that the line had then: of another text nothing was said.
    """

    __tablename__ = "line_told_apart"
    __table_args__ = (UniqueConstraint("worklog_row", "invoice_id", "module", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    worklog_row: Mapped[int] = mapped_column(ForeignKey("worklog.id"))
    invoice_id: Mapped[str] = mapped_column(String(64))
    module: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64))


class AccountLink(Base):
    """A Xero contact as last delivered, and the SDP account it is linked to, if any.

    ``unlinked``: ids of accounts that a person took from it; they are not linked to it again by themselves.
    ``creating_name``: stored before an account is created, so that a lost answer makes no second one.
    ``lost_at``: since when ServiceDesk Plus does not list the linked account: the id may be given out anew.
    ``unanswered_at``: when a write last had no answer or was not allowed; such records are written last.
    """

    __tablename__ = "account_link"
    __table_args__ = (
        UniqueConstraint("connection_id", "generation", "contact_id"),
        # One account has one contact: an account billed to two contacts would be billed twice.
        Index(
            "uq_account_link_account",
            "connection_id",
            "generation",
            "account_id",
            unique=True,
            sqlite_where=text("account_id IS NOT NULL"),
            postgresql_where=text("account_id IS NOT NULL"),
        ),
        _one_of("state", LINK_STATES),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    generation: Mapped[int]
    contact_id: Mapped[str] = mapped_column(String(64))
    contact_name: Mapped[str] = mapped_column(Text)
    contact_status: Mapped[str] = mapped_column(String(20), default="ACTIVE")
    merged_to_contact_id: Mapped[str | None] = mapped_column(String(64))
    is_customer: Mapped[bool | None]
    wanted: Mapped[dict[str, Any]]
    clues: Mapped[list[Any] | None]
    updated_time: Mapped[datetime | None]
    account_id: Mapped[str | None] = mapped_column(String(64))
    account_name: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20), default="unmapped")
    choice: Mapped[str | None] = mapped_column(String(20))
    how: Mapped[str | None] = mapped_column(String(20))
    candidates: Mapped[list[Any] | None]
    written_digest: Mapped[str | None] = mapped_column(String(64))
    written_at: Mapped[datetime | None]
    lost_at: Mapped[datetime | None]
    unanswered_at: Mapped[datetime | None]
    creating_name: Mapped[str | None] = mapped_column(Text)
    unlinked: Mapped[list[Any] | None]
    problem: Mapped[str | None] = mapped_column(Text)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class WorklogTypeLink(Base):
    """A Xero item as last delivered, and the SDP worklog type it is linked to, if any.

    ``unlinked``: ids of types that a person took from it; they are not linked to it again by themselves.
    ``creating_name``: stored before a type is created, so that a lost answer makes no second one.
    ``lost_at``: since when ServiceDesk Plus does not list the linked type: the id may be given out anew.
    ``unanswered_at``: when a write last had no answer or was not allowed; such records are written last.
    """

    __tablename__ = "worklog_type_link"
    __table_args__ = (
        UniqueConstraint("connection_id", "generation", "item_id"),
        Index(
            "uq_worklog_type_link_type",
            "connection_id",
            "generation",
            "type_id",
            unique=True,
            sqlite_where=text("type_id IS NOT NULL"),
            postgresql_where=text("type_id IS NOT NULL"),
        ),
        _one_of("state", LINK_STATES),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    generation: Mapped[int]
    item_id: Mapped[str] = mapped_column(String(64))
    item_code: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    unit_price: Mapped[Decimal | None]
    is_sold: Mapped[bool]
    updated_time: Mapped[datetime | None]
    type_id: Mapped[str | None] = mapped_column(String(64))
    type_name: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20), default="unmapped")
    choice: Mapped[str | None] = mapped_column(String(20))
    how: Mapped[str | None] = mapped_column(String(20))
    candidates: Mapped[list[Any] | None]
    written_digest: Mapped[str | None] = mapped_column(String(64))
    written_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]
    lost_at: Mapped[datetime | None]
    unanswered_at: Mapped[datetime | None]
    creating_name: Mapped[str | None] = mapped_column(Text)
    unlinked: Mapped[list[Any] | None]
    problem: Mapped[str | None] = mapped_column(Text)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class SdpEntry(Base):
    """An account or worklog type as SDP listed it at the last settle: the pick list for linking.

    ``own`` is the service provider's own account; ``clues`` tell beside the name whose account it is.
    """

    __tablename__ = "sdp_entry"
    __table_args__ = (UniqueConstraint("connection_id", "kind", "sdp_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    kind: Mapped[str] = mapped_column(String(20))
    sdp_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    inactive: Mapped[bool] = mapped_column(default=False)
    own: Mapped[bool] = mapped_column(default=False, server_default=false())
    clues: Mapped[list[Any] | None]
    seen_at: Mapped[datetime]


class LostEntry(Base):
    """An account or worklog type that SDP listed once and lists no more, under its last name.

    Its id may be given out anew, whether anything was linked to it or not. ``lost_at`` is for people who read
    the tables: no decision goes by it, as clocks differ.
    """

    __tablename__ = "lost_entry"
    __table_args__ = (UniqueConstraint("connection_id", "kind", "sdp_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    kind: Mapped[str] = mapped_column(String(20))
    sdp_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    lost_at: Mapped[datetime]


class WorklogTypeChoice(Base):
    """A worklog type that a person wants no item for, or has wanted none for.

    It is kept beside :class:`SdpEntry`, which is another system's list and forgets what is not listed.
    """

    __tablename__ = "worklog_type_choice"
    __table_args__ = (UniqueConstraint("connection_id", "type_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    type_id: Mapped[str] = mapped_column(String(64))
    type_name: Mapped[str] = mapped_column(Text)
    ignored: Mapped[bool]
    decided_at: Mapped[datetime]


class Worklog(Base):
    """One worklog, with the billable terms its line had when it was last delivered.

    ``ordinal`` tells apart two different worklogs that share an id in two modules; it is 0 for all
    others. ``source`` is the record as last delivered, or as it was billed; ``newest`` is the record
    as it is now where that differs from the billed one, and ``changed`` says how. ``money`` is the
    line's amount, or what it would be: without tax unless prices are ``Inclusive``.

    ``rebuilt`` is a worklog of which only its invoice in Xero tells, until it is delivered again: its
    creation time, technician and record are not known. ``told_apart`` is one that a person said is
    another worklog than the rebuilt one of its id.

    ``given_anew``: which of its ids (``account`` or ``worklog_type``) SDP has given to something else since
    a tap delivered the worklog last.
    """

    __tablename__ = "worklog"
    __table_args__ = (
        UniqueConstraint("connection_id", "worklog_id", "ordinal"),
        Index("ix_worklog_state", "connection_id", "state", "account_id"),
        _one_of("state", WORKLOG_STATES),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    worklog_id: Mapped[str] = mapped_column(String(64))
    ordinal: Mapped[int] = mapped_column(default=0)
    module: Mapped[str] = mapped_column(String(20))
    parent_id: Mapped[str | None] = mapped_column(String(64))
    parent_display_id: Mapped[str | None] = mapped_column(String(64))
    parent_title: Mapped[str | None] = mapped_column(Text)
    account_id: Mapped[str | None] = mapped_column(String(64))
    account_name: Mapped[str | None] = mapped_column(Text)
    technician_id: Mapped[str | None] = mapped_column(String(64))
    technician_name: Mapped[str | None] = mapped_column(Text)
    type_id: Mapped[str | None] = mapped_column(String(64))
    type_name: Mapped[str | None] = mapped_column(Text)
    work_date: Mapped[date | None]
    created_time: Mapped[str | None] = mapped_column(String(40))
    minutes: Mapped[int] = mapped_column(default=0)
    is_billable: Mapped[bool | None]
    decision: Mapped[str] = mapped_column(String(10))
    description: Mapped[str | None] = mapped_column(Text)
    quantity: Mapped[Decimal | None]
    unit_price: Mapped[Decimal | None]
    amount: Mapped[Decimal | None]
    source: Mapped[dict[str, Any]]
    line_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    reason_code: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(Text)
    excluded_by: Mapped[str | None] = mapped_column(Text)
    money: Mapped[Decimal | None]
    revision: Mapped[int] = mapped_column(default=1)
    newest: Mapped[dict[str, Any] | None]
    changed: Mapped[dict[str, Any] | None]
    changed_at: Mapped[datetime | None]
    rebuilt: Mapped[bool] = mapped_column(default=False, server_default=false())
    told_apart: Mapped[bool] = mapped_column(default=False, server_default=false())
    given_anew: Mapped[str | None] = mapped_column(String(20))
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class PushBatch(Base):
    """The exact bytes of one ``PUT /Invoices`` and the key they are sent under."""

    __tablename__ = "push_batch"
    __table_args__ = (_one_of("state", ("planned", "sending", "unknown", "done")),)

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    idempotency_key: Mapped[str] = mapped_column(String(128), unique=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    body_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20), default="planned")
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]


class Invoice(Base):
    """One sales invoice of ours; money as we computed it and as Xero did."""

    __tablename__ = "invoice"
    __table_args__ = (
        UniqueConstraint("connection_id", "number"),
        Index("ix_invoice_state", "connection_id", "state"),
        Index("ix_invoice_xero_id", "connection_id", "xero_id"),
        _one_of("state", INVOICE_STATES),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    generation: Mapped[int]
    number: Mapped[str] = mapped_column(String(255))
    account_id: Mapped[str] = mapped_column(String(64))
    account_name: Mapped[str | None] = mapped_column(Text)
    contact_id: Mapped[str] = mapped_column(String(64))
    contact_name: Mapped[str | None] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(String(3))
    invoice_date: Mapped[date]
    due_date: Mapped[date]
    reference: Mapped[str] = mapped_column(Text)
    marker: Mapped[str] = mapped_column(String(16))
    wanted_status: Mapped[str] = mapped_column(String(20))
    line_amount_types: Mapped[str] = mapped_column(String(20))
    subtotal: Mapped[Decimal]
    total_tax: Mapped[Decimal]
    total: Mapped[Decimal]
    line_count: Mapped[int]
    minutes: Mapped[int]
    state: Mapped[str] = mapped_column(String(20), default="planned")
    reason_code: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(Text)
    xero_id: Mapped[str | None] = mapped_column(String(64))
    xero_status: Mapped[str | None] = mapped_column(String(20))
    xero_total: Mapped[Decimal | None]
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("push_batch.id"), index=True)
    planned_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class InvoiceLine(Base):
    """One worklog on one invoice. A worklog has at most one live line, held by the database."""

    __tablename__ = "invoice_line"
    __table_args__ = (
        Index(
            "uq_invoice_line_live_worklog",
            "worklog_row",
            unique=True,
            sqlite_where=text("live"),
            postgresql_where=text("live"),
        ),
        UniqueConstraint("invoice_id", "position"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id"))
    worklog_row: Mapped[int] = mapped_column(ForeignKey("worklog.id"), index=True)
    revision: Mapped[int]
    position: Mapped[int]
    live: Mapped[bool] = mapped_column(default=True)
    description: Mapped[str] = mapped_column(Text)
    quantity: Mapped[Decimal]
    unit_price: Mapped[Decimal]
    amount: Mapped[Decimal]
    tax: Mapped[Decimal]
    item_code: Mapped[str] = mapped_column(String(64))
    account_code: Mapped[str] = mapped_column(String(20))
    tax_type: Mapped[str] = mapped_column(String(50))


class SyncRun(Base):
    """One run of one job: what it did, what it cost and how it ended."""

    __tablename__ = "sync_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"), index=True)
    job: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(100))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(20), default="running")
    counts: Mapped[dict[str, Any] | None]
    calls: Mapped[dict[str, Any] | None]
    extraction: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    settings_digest: Mapped[str | None] = mapped_column(String(64))


class Event(Base):
    """The audit log: who or what changed which row, when and how. Rows are only ever added."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_entity", "connection_id", "entity", "entity_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    connection_id: Mapped[int] = mapped_column(ForeignKey("connection.id"))
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(100))
    run_id: Mapped[int | None]
    entity: Mapped[str] = mapped_column(String(20))
    entity_id: Mapped[int]
    action: Mapped[str] = mapped_column(String(30))
    data: Mapped[dict[str, Any] | None]
