{{ config(materialized='tabel', on_schema_change='sync_all') }}
select * from {{ ref('nothing') }}
join {{ source('shop', 'nothing') }} using (x)
where y = '{{ var('nothing') }}'