{{
  config(
    materialized = 'table',
    tags = ['nightly', 'finance']
  )
}}

with orders as (
    select * from {{ ref('paid_orders') }}
)

select
    u.country,
    c.name as country_name,
    count(*) as orders,
    {{ money('sum(o.amount)') }} as revenue
from orders as o
join {{ ref('stg_users') }} as u on u.user_id = o.user_id
left join {{ ref('countries') }} as c on c.code = u.country
group by 1, 2
