{{ config(enabled='no') }}
select 1 as x