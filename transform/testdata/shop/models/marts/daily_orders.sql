{{ config(materialized='incremental', unique_key=['day', 'user_id'], incremental_strategy='merge') }}

select
    cast(created_at as date) as day,
    user_id,
    {{ sum_by('amount', 'status', ['paid', 'refunded']) }}
from {{ ref('stg_orders') }}
{% if is_incremental() %}
where created_at >= '{{ window_start }}' and created_at < '{{ window_end }}'
  and cast(created_at as date) >= (select coalesce(max(day), date '1970-01-01') from {{ this }})
{% endif %}
group by 1, 2
