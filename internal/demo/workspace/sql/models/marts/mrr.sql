{{ config(materialized='table') }}

with moves as (
    select
        coalesce(now.month, cast(before.month + interval 1 month as date)) as month,
        coalesce(before.mrr, 0) as was,
        coalesce(now.mrr, 0) as is_now
    from {{ ref('int_company_months') }} as now
    full join {{ ref('int_company_months') }} as before
      on before.company_id = now.company_id
     and before.month = cast(now.month - interval 1 month as date)
)

select
    month,
    sum(was) as starting_mrr,
    sum(case when was = 0 then is_now else 0 end) as new_mrr,
    sum(case when was > 0 and is_now > was then is_now - was else 0 end) as expansion_mrr,
    sum(case when is_now > 0 and is_now < was then is_now - was else 0 end) as contraction_mrr,
    sum(case when is_now = 0 then -was else 0 end) as churned_mrr,
    sum(is_now) as ending_mrr,
    count(*) filter (where is_now > 0) as paying_companies
from moves
where month <= date '{{ data_date }}'
group by 1
order by 1
