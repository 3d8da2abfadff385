{{ config(materialized='incremental', unique_key='x', incremental_strategy='insert_overwrite') }}
select 1 as x