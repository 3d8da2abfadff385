package transform

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// lineNumber finds the line of the rendered SQL in a warehouse's message.
var lineNumber = regexp.MustCompile(`(?i)\bline (\d+)\b`)

// sourceLine returns the line of the model's file from which the line of SQL that a warehouse's message
// names was rendered; 0 if it names none or it cannot be told.
func (e *Engine) sourceLine(s Scope, m *model, message string) int {
	found := lineNumber.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	wanted, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	lines := e.sourceLines(s, m)
	if wanted < 1 || wanted > len(lines) {
		return 0
	}
	return lines[wanted-1]
}

// sourceLines returns, for each line of the compiled SQL, the line of the model's file that it came from,
// and 0 where that is another file's. It compiles the model again with every line of text marked.
func (e *Engine) sourceLines(s Scope, m *model) []int {
	marked, errs := jinja.Parse(m.file, jinja.MarkLines(m.source))
	if len(errs) > 0 {
		return nil
	}
	c := &compilation{engine: e, scope: s, sql: map[elt.DatasetName]string{}}
	sql, err := c.model(m, marked)
	if err != nil {
		return nil
	}
	var out []int
	last := 0
	for line := range strings.SplitSeq(c.withCTEs(sql), "\n") {
		if n := jinja.MarkedLine(line); n > 0 {
			last = n
		} else if strings.HasPrefix(line, "with "+`"__dbt__cte__`) || last == 0 {
			last = 0
		} else {
			last++ // a line without text of its own came after the one before it
		}
		out = append(out, min(last, strings.Count(m.source, "\n")+1))
	}
	return out
}
