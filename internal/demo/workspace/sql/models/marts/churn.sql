{{ config(materialized='table') }}

-- A company churns in the month in which it first pays nothing again. Months that have not ended are left out.
select
    cast(before.month + interval 1 month as date) as month,
    before.plan,
    count(*) as companies_at_start,
    count(*) filter (where now.company_id is null) as companies_lost,
    round(companies_lost / companies_at_start, 4) as company_churn,
    sum(before.mrr) as mrr_at_start,
    coalesce(sum(before.mrr) filter (where now.company_id is null), 0) as mrr_lost,
    round(coalesce(sum(now.mrr), 0) / nullif(sum(before.mrr), 0), 4) as net_revenue_retention
from {{ ref('int_company_months') }} as before
left join {{ ref('int_company_months') }} as now
  on now.company_id = before.company_id
 and now.month = cast(before.month + interval 1 month as date)
where last_day(before.month + interval 1 month) <= date '{{ data_date }}'
group by 1, 2
order by 1, 2
