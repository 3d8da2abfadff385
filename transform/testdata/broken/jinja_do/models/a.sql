{% set cols = [] %}
{% do cols.append('a') %}
select 1 as x