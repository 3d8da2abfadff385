{{ config(materialized='view') }}

select
    i.id as invoice_id,
    i.number,
    i.company_id,
    i.subscription_id,
    i.currency,
    i.subtotal,
    i.tax,
    i.total,
    {{ in_usd('i.total', 'r.usd') }} as total_usd,
    i.status,
    i.status = 'open' and i.due_on < date '{{ data_date }}' as is_overdue,
    i.issued_on,
    i.due_on,
    {{ local_date('i.paid_at') }} as paid_on
from {{ source('app', 'invoices') }} as i
join {{ ref('exchange_rates') }} as r using (currency)
