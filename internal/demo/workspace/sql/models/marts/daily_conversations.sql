{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['started_on', 'channel']) }}

-- Conversations change for days after they began: they are answered, closed, rated. So each night counts again
-- every day on which a conversation began that changed since.
select
    started_on,
    channel,
    count(*) as conversations,
    count(distinct company_id) as companies,
    count(*) filter (where state = 'closed') as closed,
    count(*) filter (where is_priority) as priority,
    count(*) filter (where first_reply_at is null) as unanswered,
    count(rating) as ratings,
    round(avg(rating), 2) as average_rating
from {{ ref('stg_conversations') }}
{% if is_incremental() %}
where started_on in (
    select distinct started_on
    from {{ ref('stg_conversations') }}
    where updated_at >= timestamptz '{{ window_start }}'
)
{% endif %}
group by 1, 2
