{{ config(materialized='view') }}

select
    id as user_id,
    company_id,
    role,
    email as email_hash,
    locale,
    email_verified,
    custom_attributes ->> '$.heard_from' as heard_from,
    {{ local_date('created_at') }} as created_on,
    last_seen_at,
    created_at,
    updated_at
from {{ source('app', 'users') }}
