{{ config(sevrity='warn') }}
select * from {{ ref('a') }}