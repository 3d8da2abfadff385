{{ config(materialized='table') }}

select
    cast(date_trunc('month', issued_on) as date) as month,
    currency,
    count(*) as invoices,
    sum(total) as invoiced,
    coalesce(sum(total) filter (where status = 'paid'), 0) as collected,
    coalesce(sum(total) filter (where status = 'open'), 0) as outstanding,
    coalesce(sum(total) filter (where is_overdue), 0) as overdue,
    coalesce(sum(total) filter (where status = 'uncollectible'), 0) as written_off,
    sum(total_usd) as invoiced_usd,
    coalesce(sum(total_usd) filter (where status = 'paid'), 0) as collected_usd,
    round(avg(paid_on - issued_on), 1) as average_days_to_pay
from {{ ref('stg_invoices') }}
where status <> 'void'
group by 1, 2
order by 1, 2
