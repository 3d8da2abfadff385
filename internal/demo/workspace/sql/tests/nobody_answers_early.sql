-- An answer comes after its question.
select conversation_id, created_at, first_reply_at
from {{ ref('stg_conversations') }}
where first_reply_at < created_at
