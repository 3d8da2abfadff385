{# amounts are kept in cents #}
{% macro money(column, digits=2) -%}
round({{ column }} / 100.0, {{ digits }})
{%- endmacro %}

{% macro sum_by(column, field, values) %}
{%- for v in values %}
    sum(case when {{ field }} = '{{ v }}' then {{ money(column) }} else 0 end) as {{ v }}_{{ column }}{{ ',' if not loop.last }}
{%- endfor %}
{%- endmacro %}
