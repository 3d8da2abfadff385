package parquet

import (
	"cmp"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// use is a policy that was used on a column.
type use struct {
	column int
	policy elt.Policy
}

// Used notes that the row which is being filled has a value in that column that is not held as it is.
func (b *Batch) Used(column int, p elt.Policy) { b.pending = append(b.pending, use{column, p}) }

// settle counts what was noted of a row that is in the batch for good.
func (b *Batch) settle() {
	for _, u := range b.pending {
		b.count(u)
	}
	b.pending = b.pending[:0]
}

func (b *Batch) count(u use) {
	if b.uses == nil {
		b.uses = make(map[use]int64)
	}
	b.uses[u]++
}

// asideSchema is what AsideSchema returns.
var asideSchema = elt.Schema{
	{Name: "key", Type: elt.Type{Kind: elt.String}},
	{Name: "column", Type: elt.Type{Kind: elt.String}},
	{Name: "value", Type: elt.Type{Kind: elt.String}, Nullable: true},
	{Name: "reason", Type: elt.Type{Kind: elt.String}},
	{Name: "row", Type: elt.Type{Kind: elt.JSON}},
}

// AsideSchema returns the columns of quarantine objects: what names the row, the column that cannot be held, its
// value's text, why it cannot be held, and the whole row as texts by column.
func AsideSchema() elt.Schema { return slices.Clone(asideSchema) }

// Aside is a row that is set aside.
type Aside struct{ Key, Column, Value, Reason, Row string }

// SetAside takes the row that is being filled out of the batch and keeps it aside. filled is how many of its columns
// have been appended; because is the column that cannot be held.
func (b *Batch) SetAside(filled, because int, a Aside) {
	for _, v := range b.Columns[:filled] {
		v.DropRow()
	}
	b.pending = b.pending[:0]
	b.count(use{because, elt.Quarantine})
	if b.aside == nil {
		b.aside = NewBatch(asideSchema)
	}
	size := 0
	for i, text := range []string{a.Key, a.Column, a.Value, a.Reason, a.Row} {
		b.aside.Columns[i].AppendString(text)
		size += len(text)
	}
	b.aside.EndRow(size)
	b.bytes += size
}

// asideRows returns how many rows were set aside.
func (b *Batch) asideRows() int {
	if b.aside == nil {
		return 0
	}
	return b.aside.rows
}

// Fidelity returns every use of a policy, in the columns' order.
func (t *Tally) Fidelity() []elt.PolicyUse {
	var all []use
	for u := range t.uses {
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b use) int {
		return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.policy, b.policy))
	})
	var out []elt.PolicyUse
	for _, u := range all {
		out = append(out, elt.PolicyUse{Column: t.names[u.column], Policy: u.policy, Values: t.uses[u]})
	}
	return out
}
