select *
from {{ source('shop', 'user') }}