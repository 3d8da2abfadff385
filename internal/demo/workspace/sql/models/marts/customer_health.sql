{{ config(materialized='table') }}

{% set signals = ['is_growing', 'is_answering', 'is_rated_well', 'is_paying_on_time'] %}

with talk as (
    select
        company_id,
        count(*) filter (where started_on > date '{{ data_date }}' - 28) as conversations_28_days,
        count(*) filter (where started_on <= date '{{ data_date }}' - 28) as conversations_before,
        median(first_reply_minutes) filter (where started_on > date '{{ data_date }}' - 28) as median_minutes,
        avg(rating) as average_rating
    from {{ ref('stg_conversations') }}
    where started_on > date '{{ data_date }}' - 56
    group by 1
),

money as (
    select company_id, mrr, plan as paid_plan
    from {{ ref('int_company_months') }}
    where month = date_trunc('month', date '{{ data_date }}')
),

debts as (
    select company_id, count(*) as overdue_invoices
    from {{ ref('stg_invoices') }}
    where is_overdue
    group by 1
),

signals as (
    select
        company.company_id,
        company.company,
        company.country,
        company.size,
        coalesce(money.paid_plan, 'free') as plan,
        coalesce(money.mrr, 0) as mrr,
        coalesce(talk.conversations_28_days, 0) as conversations_28_days,
        round(talk.median_minutes, 1) as median_minutes,
        round(talk.average_rating, 2) as average_rating,
        coalesce(debts.overdue_invoices, 0) as overdue_invoices,
        coalesce(talk.conversations_28_days >= talk.conversations_before, false) as is_growing,
        coalesce(talk.median_minutes <= 60, false) as is_answering,
        coalesce(talk.average_rating >= 4, false) as is_rated_well,
        debts.overdue_invoices is null as is_paying_on_time
    from {{ ref('stg_companies') }} as company
    left join talk using (company_id)
    left join money using (company_id)
    left join debts using (company_id)
)

select
    *,
    {% for signal in signals %}cast({{ signal }} as integer){% if not loop.last %} + {% endif %}{% endfor %} as score,
    case
        when conversations_28_days = 0 then 'silent'
        when score >= 3 then 'healthy'
        when score = 2 then 'watch'
        else 'at_risk'
    end as health
from signals
