{{ config(materialized='ephemeral') }}

-- One row for each company and month in which it paid, with what it paid a month at the month's end; the running
-- month ends with the data date.
with months as (
    select
        cast(month as date) as month,
        least(last_day(month), date '{{ data_date }}') as month_end
    from (
        select unnest(generate_series(date_trunc('month', first_day), timestamp '{{ data_date }}', interval 1 month)) as month
        from (select min(paying_from) as first_day from {{ ref('stg_subscriptions') }})
    )
)

select
    m.month,
    s.company_id,
    arg_max(s.plan, s.started_on) as plan,
    sum(s.monthly_usd) as mrr
from months as m
join {{ ref('stg_subscriptions') }} as s
  on s.paying_from <= m.month_end
 and (s.cancelled_on is null or s.cancelled_on > m.month_end)
group by 1, 2
