select 1 as x
{% if is_incremental() %}
where true
