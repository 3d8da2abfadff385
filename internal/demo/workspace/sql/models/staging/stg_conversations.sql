{{ config(materialized='view') }}

select
    c.id as conversation_id,
    c.company_id,
    c.user_id as contact_id,
    c.assignee_id as agent_id,
    c.channel,
    c.state,
    c.is_priority,
    c.rating,
    {{ local_date('c.created_at') }} as started_on,
    isodow(c.created_at at time zone company.time_zone) as company_weekday,
    hour(c.created_at at time zone company.time_zone) as company_hour,
    date_diff('second', c.created_at, c.first_reply_at) / 60.0 as first_reply_minutes,
    date_diff('second', c.created_at, c.closed_at) / 3600.0 as hours_to_close,
    c.created_at,
    c.first_reply_at,
    c.closed_at,
    c.updated_at
from {{ source('app', 'conversations') }} as c
join {{ ref('stg_companies') }} as company using (company_id)
