{{ config(materialized='view', tags=['staging']) }}

select
    id as user_id,
    lower(email) as email,
    country
from {{ source('shop', 'users') }}
where country in ({% for c in var('countries') %}'{{ c }}'{{ ', ' if not loop.last }}{% endfor %})
