package jinja

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// MarkLines returns a template whose text carries, on each line that begins with text, the number of that
// line: rendered lines can then be traced to the source's. The marks are SQL comments.
func MarkLines(source string) string {
	s := &scanner{source: strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")}
	if s.scan() != nil {
		return source
	}
	var b strings.Builder
	offset := 0
	for i, line := range strings.SplitAfter(s.source, "\n") {
		text := strings.TrimLeft(line, " \t")
		// The mark comes after the indentation, which trimming by {%- must still be able to remove.
		b.WriteString(line[:len(line)-len(text)])
		if strings.TrimSpace(text) != "" && !strings.HasPrefix(text, "{") && !s.inJinja(offset+len(line)-len(text)) {
			fmt.Fprintf(&b, "/*line:%d*/", i+1)
		}
		b.WriteString(text)
		offset += len(line)
	}
	return b.String()
}

var mark = regexp.MustCompile(`/\*line:(\d+)\*/`)

// MarkedLine returns the number in a rendered line's first mark, or 0.
func MarkedLine(line string) int {
	m := mark.FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}
