-- Every month starts where the one before ended, and its movements lead from one to the other.
select *
from (
    select *, lag(ending_mrr, 1, 0) over (order by month) as ended_before
    from {{ ref('mrr') }}
)
where starting_mrr <> ended_before
   or starting_mrr + new_mrr + expansion_mrr + contraction_mrr + churned_mrr <> ending_mrr
