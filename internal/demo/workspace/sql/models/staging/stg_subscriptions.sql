{{ config(materialized='view') }}

-- Paying begins when the trial ends. A subscription whose trial ended without a purchase is cancelled on that very day,
-- so it is never paid for.
select
    s.id as subscription_id,
    s.company_id,
    s.plan,
    s.seats,
    s.billing_interval,
    s.currency,
    s.monthly_amount,
    {{ in_usd('s.monthly_amount', 'r.usd') }} as monthly_usd,
    s.status,
    s.started_on,
    s.trial_ends_on,
    coalesce(s.trial_ends_on, s.started_on) as paying_from,
    s.cancelled_on,
    s.cancel_reason
from {{ source('app', 'subscriptions') }} as s
join {{ ref('exchange_rates') }} as r using (currency)
where {{ by_data_date('s.created_at') }}
