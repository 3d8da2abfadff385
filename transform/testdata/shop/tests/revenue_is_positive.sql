{{ config(severity='error', error_if='>= 1') }}
select r.* from {{ ref('revenue') }} as r
left join {{ ref('countries') }} as c on c.code = r.country
where r.revenue <= 0
