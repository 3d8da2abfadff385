{{ config(materialized='tabel', on_schema_change='fail') }}
select * from {{ ref('nothing') }}
join {{ source('shop', 'nothing') }} using (x)
where y = '{{ var('nothing') }}'