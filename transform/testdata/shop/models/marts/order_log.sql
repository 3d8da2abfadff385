{{ config(materialized='incremental', unique_key='order_id') }}
select order_id, amount, date '{{ data_date }}' as seen_on, '{{ target.name }}' as target
from {{ ref('stg_orders') }}
{%- if is_incremental() %}
left join {{ ref('revenue') }} on false
where created_at >= timestamp '{{ window_start }}'
{%- endif %}
