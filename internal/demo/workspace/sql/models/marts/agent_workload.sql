{{ config(materialized='table') }}

with written as (
    select
        cast(date_trunc('week', p.sent_on) as date) as week,
        p.author_id as agent_id,
        any_value(c.company_id) as company_id,
        count(distinct p.conversation_id) as conversations,
        count(*) filter (where p.kind = 'message') as replies,
        count(*) filter (where p.kind = 'note') as notes,
        count(*) filter (where p.kind = 'close') as closed,
        count(distinct p.sent_on) as days_active
    from {{ ref('stg_message_parts') }} as p
    join {{ ref('stg_conversations') }} as c using (conversation_id)
    where p.author_type = 'agent'
    group by 1, 2
),

rated as (
    select
        cast(date_trunc('week', started_on) as date) as week,
        agent_id,
        round(avg(rating), 2) as average_rating
    from {{ ref('stg_conversations') }}
    where rating is not null
    group by 1, 2
)

select
    written.week,
    written.agent_id,
    written.company_id,
    written.conversations,
    written.replies,
    written.notes,
    written.closed,
    written.days_active,
    rated.average_rating
from written
left join rated on rated.week = written.week and rated.agent_id = written.agent_id
