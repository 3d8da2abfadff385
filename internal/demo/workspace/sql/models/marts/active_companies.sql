{{ config(materialized='table') }}

-- A company is active on a day on which one of its people or contacts wrote something.
with activity as (
    select distinct p.sent_on, c.company_id
    from {{ ref('stg_message_parts') }} as p
    join {{ ref('stg_conversations') }} as c using (conversation_id)
    where p.author_type <> 'bot'
),

days as (
    select distinct sent_on as day from activity where sent_on <= date '{{ data_date }}'
)

select
    days.day,
    count(distinct a.company_id) filter (where a.sent_on = days.day) as active_today,
    count(distinct a.company_id) filter (where a.sent_on > days.day - 7) as active_7_days,
    count(distinct a.company_id) as active_28_days,
    round(active_7_days / active_28_days, 4) as stickiness
from days
join activity as a on a.sent_on between days.day - 27 and days.day
group by 1
order by 1
