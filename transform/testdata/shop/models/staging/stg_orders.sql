{{ config(materialized='ephemeral') }}

-- orders as they are, without those of tests
select id as order_id, user_id, status, amount, created_at
from {{ source('shop', 'orders') }}
where status <> 'test'
