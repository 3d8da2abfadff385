{{ config(materialized='incremental', unique_key='x') }}
select 1 as x
{% if is_incremental() %}
from {{ ref('b') }}
{% endif %}