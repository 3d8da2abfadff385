select 'accounts' as kept_in, sum(abalance) as balance from {{ source('bank', 'accounts') }} union all
select 'tellers', sum(tbalance) from {{ source('bank', 'tellers') }} union all
select 'branches', sum(bbalance) from {{ source('bank', 'branches') }} union all
select 'history', sum(delta) from {{ source('bank', 'history') }}
