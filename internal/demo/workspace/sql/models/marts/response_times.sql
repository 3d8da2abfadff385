{{ config(materialized='table') }}

select
    cast(date_trunc('week', c.started_on) as date) as week,
    c.channel,
    company.plan,
    count(*) as conversations,
    count(c.first_reply_minutes) as answered,
    round(median(c.first_reply_minutes), 1) as median_minutes,
    round(quantile_cont(c.first_reply_minutes, 0.9), 1) as p90_minutes,
    round(count(*) filter (where c.first_reply_minutes <= 60) / count(*), 4) as answered_within_an_hour
from {{ ref('stg_conversations') }} as c
join {{ ref('stg_companies') }} as company using (company_id)
group by 1, 2, 3
order by 1, 2, 3
