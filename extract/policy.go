package extract

import (
	"encoding/json"
	"strings"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Misfit says why a value has no exact place in its column's type. Decoders return it having appended nothing.
type Misfit struct {
	Value string // as a message shows it
	Why   string
	// Nearest appends the nearest value that can be held; nil where none is nearest.
	Nearest func(to *parquet.Vector)
}

func (m *Misfit) Error() string { return m.Value + " " + m.Why }

// Refuse returns a Misfit that has no nearest value.
func Refuse(value, why string) *Misfit { return &Misfit{Value: value, Why: why} }

// Row is the row in which a misfit was met, as a driver can tell of it.
type Row interface {
	// Key names the row.
	Key() string
	// Text returns the whole canonical text of the value in that column; ok is false for NULL.
	Text(column int) (text string, ok bool)
}

// Settle decides by the column's policy what becomes of a row whose value in that column is a misfit: the error of a
// value that is refused, or a value in its place; left is true when the row was set aside, whole.
func (r Request) Settle(b *parquet.Batch, column int, m *Misfit, row Row) (left bool, err error) {
	c := r.Columns[column]
	to := b.Columns[column]
	switch policy := r.policy(c.Name); {
	case policy == elt.AsText && c.Type.Kind == elt.String:
		text, _ := row.Text(column)
		to.AppendString(text)
		b.Used(column, policy)
	case policy == elt.AsNull:
		to.AppendNull()
		b.Used(column, policy)
	case policy == elt.Clamp && m.Nearest != nil:
		m.Nearest(to)
		b.Used(column, policy)
	case policy == elt.Quarantine:
		text, _ := row.Text(column)
		b.SetAside(column, column, parquet.Aside{Key: row.Key(), Column: c.Name, Value: text, Reason: m.Why, Row: r.rowText(row)})
		return true, nil
	default:
		return false, Unfit(r, c, row.Key(), m.Value, m.Why)
	}
	return false, nil
}

// policy returns what was declared for values that the column cannot hold.
func (r Request) policy(column string) elt.Policy { return r.Rules[column].Policy }

// rowText returns a row as a JSON object of texts, in the columns' order.
func (r Request) rowText(row Row) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, c := range r.Columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoted(c.Name) + ":")
		if text, ok := row.Text(i); ok {
			b.WriteString(quoted(text))
		} else {
			b.WriteString("null")
		}
	}
	b.WriteByte('}')
	return b.String()
}

// quoted returns a text as JSON.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil { // a string can always be encoded
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
