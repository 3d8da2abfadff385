{{ config(materialized='view') }}

-- In each customer's own time zone: when their contacts write, and how long they wait.
select
    company_weekday as weekday,
    company_hour as hour,
    count(*) as conversations,
    round(median(first_reply_minutes), 1) as median_minutes
from {{ ref('stg_conversations') }}
group by 1, 2
order by 1, 2
