package transform

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// condition decides over a number of failing rows: "> 10", "between 5 and 10", "not in (1, 2)".
type condition struct {
	operator string
	numbers  []int64
}

// anyRow holds as soon as there is one.
var anyRow = condition{"!=", []int64{0}}

var conditionForms = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^\s*(=|==|!=|<>|>=|>|<=|<)\s*(\d{1,18})\s*$`),
	regexp.MustCompile(`(?i)^\s*(between|not\s+between)\s+(\d{1,18})\s+and\s+(\d{1,18})\s*$`),
	regexp.MustCompile(`(?i)^\s*(in|not\s+in)\s*\(\s*(\d{1,18}(?:\s*,\s*\d{1,18})*)\s*\)\s*$`),
}

func parseCondition(s string) (condition, bool) {
	for _, form := range conditionForms {
		m := form.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		c := condition{operator: strings.Join(strings.Fields(strings.ToLower(m[1])), " ")}
		for text := range strings.SplitSeq(strings.Join(m[2:], ","), ",") {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				return c, false
			}
			c.numbers = append(c.numbers, n)
		}
		return c, true
	}
	return condition{}, false
}

// holds reports whether n failing rows meet the condition.
func (c condition) holds(n int64) bool {
	if operator, not := strings.CutPrefix(c.operator, "not "); not {
		return !condition{operator, c.numbers}.holds(n)
	}
	first := c.numbers[0]
	switch c.operator {
	case "=", "==":
		return n == first
	case ">":
		return n > first
	case ">=":
		return n >= first
	case "<":
		return n < first
	case "<=":
		return n <= first
	case "between":
		return first <= n && n <= c.numbers[1]
	case "in":
		return slices.Contains(c.numbers, n)
	}
	return n != first
}
