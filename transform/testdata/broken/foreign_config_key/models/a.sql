{{ config(schema='other', materialized='table') }}
select 1 as x