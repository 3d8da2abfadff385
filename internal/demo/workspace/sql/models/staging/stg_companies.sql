{{ config(materialized='view') }}

select
    id as company_id,
    name as company,
    domain,
    country,
    time_zone,
    currency,
    plan,
    coalesce(industry, 'unknown') as industry,
    case
        when employees is null then 'unknown'
        when employees < 10 then '1-9'
        when employees < 50 then '10-49'
        when employees < 250 then '50-249'
        else '250+'
    end as size,
    {{ local_date('created_at') }} as signed_up_on,
    created_at,
    updated_at
from {{ source('app', 'companies') }}
where not is_test
  and {{ by_data_date('created_at') }}
