{{ config(materialized='table') }}
-- select 1
/* nothing */ ;
