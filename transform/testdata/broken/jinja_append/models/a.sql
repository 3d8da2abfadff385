{% set cols = [] %}
{% for c in ['a', 'b'] %}
  {% set _ = cols.append(c) %}
{% endfor %}
select {{ cols | join(', ') }}