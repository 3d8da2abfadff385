package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// prepare returns the select list and works out how its items are read: the columns, and behind them a further form of
// those that have a rule for what they cannot hold.
func (r *rowReader) prepare(t table) ([]string, error) {
	var list, further []string
	r.texts = make(map[int]int)
	for i, c := range r.request.Columns {
		if c.Absent { // every value is NULL, whatever its type
			list, r.decoders = append(list, "NULL::text"), append(r.decoders, asText)
			continue
		}
		from, ok := t.column(c.Name)
		if !ok {
			return nil, fmt.Errorf("table %s has no column %q any more", t.info.Name, c.Name)
		}
		item, decode := from.read(c, r.request.Mask)
		list, r.decoders = append(list, item), append(r.decoders, decode)
		place := len(r.request.Columns) + len(further)
		switch policy := r.request.Rules[c.Name].Policy; {
		case policy == elt.AsText && from.Type.Kind != elt.String:
			r.trials = append(r.trials, trial{column: i, field: place, decode: from.decode.one, scratch: parquet.NewVector(from.Type)})
			further = append(further, from.item())
		case policy == elt.Quarantine:
			r.texts[i] = place
			further = append(further, from.text())
		}
	}
	r.fields = make([]field, len(list)+len(further))
	r.block = newBlock(len(r.fields))
	return append(list, further...), nil
}

// item is the column in the select list, as its decoder reads it.
func (c column) item() string { return pgx.Identifier{c.Name}.Sanitize() + c.cast }

// text is the column's canonical text in the select list. That of money depends on the locale, so it goes by numeric.
func (c column) text() string {
	if c.cast != "" && c.Type.Kind != elt.List {
		return c.item()
	}
	return pgx.Identifier{c.Name}.Sanitize() + "::text"
}

// read returns the column's item of the select list and the decoder of what it gives, masks and other types applied.
func (c column) read(as elt.Column, mask *extract.Masker) (string, decoder) {
	name := pgx.Identifier{c.Name}.Sanitize()
	switch {
	case as.Masked == extract.MaskRedact: // the values stay where they are
		return "CASE WHEN " + name + " IS NOT NULL THEN '" + extract.Redacted + "'::text END", asText
	case as.Masked == extract.MaskHash:
		hasher := mask.Hasher()
		return c.text(), decoder{one: func(to *parquet.Vector, raw []byte) error {
			to.AppendOctets(hasher.Hex(raw))
			return nil
		}}
	case as.Type.Equal(c.Type):
		return c.item(), c.decode
	case as.Type.Kind == elt.Decimal:
		return name + "::numeric", decodeNumericWithin(as.Type.Precision, as.Type.Scale)
	}
	return c.text(), asText
}

// trial reads a column of text as its source's own type, to see whether that could have held the value.
type trial struct {
	column, field int
	decode        func(to *parquet.Vector, raw []byte) error
	scratch       *parquet.Vector
}

// try counts the values of the row that are text because their own type cannot hold them.
func (r *rowReader) try(data []byte) error {
	for _, t := range r.trials {
		f := r.fields[t.field]
		if f.end < 0 {
			continue
		}
		t.scratch.Reset()
		if err := t.decode(t.scratch, data[f.from:f.end]); err == nil {
			continue
		} else if _, misfit := errors.AsType[*extract.Misfit](err); !misfit {
			return err
		}
		r.batch.Used(t.column, elt.AsText)
	}
	return nil
}
