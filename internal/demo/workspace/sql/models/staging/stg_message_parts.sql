{{ config(materialized='view') }}

select
    id as message_part_id,
    conversation_id,
    author_id,
    author_type,
    kind,
    length(body) as characters,
    attachments,
    updated_at > created_at as is_edited,
    {{ local_date('created_at') }} as sent_on,
    created_at as sent_at,
    updated_at
from {{ source('app', 'message_parts') }}
