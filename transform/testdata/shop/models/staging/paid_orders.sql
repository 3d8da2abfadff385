{{ config(materialized='ephemeral', tags='staging') }}

select * from {{ ref('stg_orders') }} where status = 'paid'
