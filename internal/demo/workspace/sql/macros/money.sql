{# An amount in US dollars at the budget rate, to the cent. #}
{% macro in_usd(amount, rate) %}cast(round({{ amount }} * {{ rate }}, 2) as decimal(14, 2)){% endmacro %}
