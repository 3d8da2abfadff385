{{ config(materialized='table', unique_key='x') }}
select 1 as x