"""The names that the two systems gave themselves: of members, headers, query parameters and parts of paths.

They are those of Xero's OpenAPI file and of both fact sheets. A name that is not here may be somebody's: an
installation can call a field, a header or an entry of a map after a customer.
"""
# A list of words reads best as words.
# ruff: noqa: SIM905

from __future__ import annotations

import re
from typing import Final

_XERO: Final = """
    APIKey Account AccountCode AccountID AccountNumber Accounts AccountsPayable AccountsPayableTaxType
    AccountsReceivable AccountsReceivableTaxType Actions AddToWatchlist AddressLine1 AddressLine2
    AddressLine3 AddressLine4 AddressType Addresses AllocationID Allocations Amount AmountCredited
    AmountDue AmountPaid AppliedAmount AttachmentID Attachments AttentionTo Balances BankAccount
    BankAccountDetails BankAccountName BankAccountNumber BankAccountType BankAmount BankTransactionID
    BankTransactions BaseCurrency BatchPayment BatchPaymentID BatchPayments Bills BrandingTheme
    BrandingThemeID BrandingThemes CISDeduction CISRate COGSAccountCode CanApplyToAssets
    CanApplyToEquity CanApplyToExpenses CanApplyToLiabilities CanApplyToRevenue City Class Code
    CompanyNumber Contact ContactGroupID ContactGroups ContactID ContactNumber ContactPersons
    ContactStatus Contacts ContentLength Country CountryCode CreatedDateUTC CreditNote CreditNoteID
    CreditNoteNumber CreditNotes Currencies CurrencyCode CurrencyRate Date DateString DateTimeUTC Day
    DefaultCurrency DefaultPurchasesTax DefaultSalesTax Description Detail Details Discount
    DiscountAmount DiscountRate DisplayTaxRate DueDate DueDateString Edition EffectiveRate Elements
    EmailAddress EmployerIdentificationNumber EnablePaymentsToAccount EndOfYearLockDate Error
    ErrorNumber ExemptAmount ExpectedPaymentDate Extensions ExternalLinks FileName FinancialYearEndDay
    FinancialYearEndMonth FirstName FullyPaidOnDate HasAccount HasAttachments HasErrors
    HasValidationErrors Id IncludeInEmails IncludeOnline Instance InventoryAssetAccountCode Invoice
    InvoiceAddressType InvoiceAddresses InvoiceID InvoiceNumber InvoicePaymentServices Invoices
    IsCompound IsCustomer IsDeleted IsDemoCompany IsDiscounted IsNonRecoverable IsPurchased IsReconciled
    IsSold IsSupplier IsTrackedAsInventory Item ItemCode ItemID Items JurisdictionRegion LastName
    LegalName LineAmount LineAmountTypes LineItemID LineItemTracking LineItems LineOfBusiness LinkType
    LogoUrl MergedToContactID Message MimeType Name Narrative NonTaxableAmount Option Options
    OrganisationEntityType OrganisationID OrganisationStatus OrganisationType Organisations Outstanding
    Overdue Overpayment OverpaymentID Overpayments Particulars PaymentID PaymentTerms PaymentType
    Payments PaysTax PeriodLockDate PhoneAreaCode PhoneCountryCode PhoneNumber PhoneType Phones
    PlannedPaymentDate PostalCode Prepayment PrepaymentID Prepayments ProviderName PurchaseDescription
    PurchaseDetails PurchaseOrderID PurchasesDefaultAccountCode PurchasesDefaultLineAmountType
    PurchasesTrackingCategories Quantity QuantityOnHand Rate Reference Region RegistrationNumber
    RemainingCredit RepeatingInvoiceID ReportTaxType ReportingCode ReportingCodeName Sales
    SalesDefaultAccountCode SalesDefaultLineAmountType SalesDetails SalesTaxBasis SalesTaxCodeId
    SalesTaxPeriod SalesTrackingCategories SentToContact ShortCode ShowInExpenseClaims SortOrder
    StateAssignedNo Status StatusAttributeString SubTotal SystemAccount TaxAmount TaxBreakdown
    TaxComponentId TaxComponents TaxNumber TaxNumberType TaxPercentage TaxRates TaxType Taxability
    TaxableAmount Timezone Title Total TotalAmount TotalCostPool TotalDiscount TotalTax Tracking
    TrackingCategories TrackingCategoryID TrackingCategoryName TrackingCategoryOption TrackingOptionID
    TrackingOptionName Type UnitAmount UnitPrice UpdatedDateUTC UpdatedDateUTCString Url
    ValidationErrors Version Warnings Website XeroNetworkKey access_token authEventId createdDateUtc
    error error_description expires_in id id_token itemCount page pageCount pageSize pagination
    refresh_token scope tenantId tenantName tenantType token_type updatedDateUtc
"""
_SDP: Final = """
    account account_id account_manager account_name accountcontract accounts accountudf_fields
    actual_end_time actual_start actual_start_time add add_time_for_linked_requests
    add_time_linked_requests assets assigned_time attachments billing_hours billing_minutes
    cancel_flag_comments cancellation_requested change change_owner change_requester changes children
    city closed_time code color comment company completed_time condition conf_fields constraints contact
    contract contractInfo contract_type cost_per_hour country created_by created_date created_time
    currency customer customers default_site default_value delete deleted_time department description
    display_id display_name display_value doornumber due_by_time edit email_id emailid end_date
    end_index end_time entity estimated_effort estimated_effort_hours exchange_rate fax field fields
    fields_required filter_by for generated_time get_total_count group has_attachments has_draft
    has_more_rows has_notes hours href images in_progress inactive inc_nonOperationalHours
    include_inactive_value include_nonoperational_hours index industry input_data internal_name
    is_all_worklogs is_archived is_billable is_completed is_msp is_pending is_service_request is_trashed
    landline landmark last_updated_time layouts links list_info list_view_filter logical_operator
    loginUrl login_url lookup lookup_entity mandatory mark_first_response max_length members message
    messages metainfo milestone milestones minutes mobile module modules name no_column_is_called_this
    nullable operations_required other_charge other_cost overlap owner owner_cost parent
    parent_display_id parent_id parent_module parent_title percentage_completion portal portal_id
    portal_name postalcode priority problem problems project project_code project_type
    projected_end_time projected_on projects read_only recorded_time rel release releases reported_by
    reported_time request requested_by requester requests resolved_time responded_time response_status
    response_type row_count scheduled_end_time scheduled_start scheduled_start_time search_criteria site
    sites solutions sort_field sort_order stage start_date start_index start_time state status
    status_code stop_timer street subject support task task_id task_type tasks tech_charge technician
    technicians template time_spent timer timesheet timezone title total_charge total_cost total_count
    total_time_spent type udf_fields unit unreplied_count users value values view weburl worklog
    worklog_id worklog_template worklog_type worklog_types worklogs worklogtypes
"""
MEMBERS: Final = frozenset(f"{_XERO} {_SDP}".split())
"""Members of answers, and of what is asked."""

ACTIONS: Final = frozenset(
    """
    AttachFilesIntoInvoice AttachToInvoice CreateApprovedBill CreateApprovedInvoice
    CreateApprovedPurchaseOrder CreateContact CreateDraftBill CreateDraftInvoice
    CreateDraftPurchaseOrder CreateDraftQuote CreateInvoicePayment CreateRepeatingBill
    CreateRepeatingInvoice CreateSentQuote CreateSubmittedInvoice SendEmail UseMulticurrency
    """.split()
)
"""What Xero's Organisation/Actions names."""

HEADERS: Final = frozenset(
    """
    accept-ranges access-control-allow-origin access-control-expose-headers age allow alt-svc
    cache-control connection content-disposition content-encoding content-language content-length
    content-security-policy content-type date etag expires keep-alive last-modified location p3p pragma
    referrer-policy retry-after server set-cookie strict-transport-security transfer-encoding upgrade
    vary via www-authenticate x-appminlimit-remaining x-cache x-content-type-options
    x-daylimit-remaining x-download-options x-frame-options x-minlimit-remaining
    x-permitted-cross-domain-policies x-powered-by x-rate-limit-problem x-ratelimit-limit
    x-ratelimit-remaining x-ratelimit-reset x-request-id x-ua-compatible x-xss-protection
    xero-correlation-id
    """.split()
)
"""Headers of answers, in small letters."""

PARAMETERS: Final = frozenset(
    (
        "input_data page pageSize where order unitdp summaryOnly includeArchived IDs InvoiceNumbers "
        "ContactIDs Statuses"
    ).split()
)
"""What is asked for on a query."""

PATHS: Final = frozenset(
    """
    2.0 Accounts Actions BankTransactions BrandingThemes Contacts Currencies Invoices Items Organisation
    TaxRates TrackingCategories _links _metainfo _timesheet accounts api api.xro changes connect
    connections customers milestones no_such_path_msp_xero oauth problems projects releases requesters
    requests sites tasks technicians token type users v2 v3 worklog worklog_type worklog_types worklogs
    """.split()
)
"""Parts of paths."""

# An additional field is called after its kind and numbered; what its label says is not in that.
_ADDITIONAL: Final = re.compile(
    r"udf_(?:char|sline|mline|text|html|long|int|double|decimal|num|number|currency|percent|date|datetime|time"
    r"|pick|picklist|multiselect|multi_select|check|checkbox|radio|bool|boolean|email|phone|url|ref|reference"
    r"|lookup|auto|decision)_?\d{1,9}"
)


def is_member(name: str) -> bool:
    """Tell whether a member's name is a system's own."""
    return name in MEMBERS or _ADDITIONAL.fullmatch(name) is not None
