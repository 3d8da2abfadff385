package notify

import (
	"cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// origin is the table in its source. Its columns are those of the source.
func (l *Lineage) origin(in *elt.Lineage) *lineageDataset {
	source, table := in.Dataset.Name.Split()
	at := l.Sources[elt.SourceName(source)]
	d := l.dataset(at, cmp.Or(l.Tables[in.Dataset.Name], table), "source "+source)
	if in.Manifest == nil {
		return d
	}
	var fields []map[string]any
	for _, c := range in.Manifest.Schema {
		if !c.Absent {
			fields = append(fields, field(c.Name, cmp.Or(c.SourceType, c.Type.String()), ""))
		}
	}
	l.schema(d, fields)
	return d
}

// lakeObject is what extractions of the dataset leave in the lake.
func (l *Lineage) lakeObject(in *elt.Lineage) *lineageDataset {
	d := l.dataset(l.Lake, string(in.Dataset.Name), "the lake")
	l.schema(d, fieldsOf(in.Dataset, in.Manifest))
	return d
}

// published is the dataset in the warehouse.
func (l *Lineage) published(of *elt.Dataset, m *elt.Manifest) *lineageDataset {
	d := l.dataset(l.Warehouse, cmp.Or(of.Relation, string(of.Name)), "the warehouse")
	l.schema(d, fieldsOf(of, m))
	if of.Description != "" {
		l.facet(d.Facets, "documentation", map[string]any{"description": of.Description})
	}
	if len(of.Owners) > 0 {
		owners := make([]map[string]any, len(of.Owners))
		for i, o := range of.Owners {
			owners[i] = map[string]any{"name": o}
		}
		l.facet(d.Facets, "ownership", map[string]any{"owners": owners})
	}
	return d
}

func (l *Lineage) dataset(at Place, name, store string) *lineageDataset {
	namespace := cmp.Or(at.Namespace, l.Namespace)
	d := &lineageDataset{Namespace: namespace, Name: at.Prefix + name, Facets: facets{}}
	l.facet(d.Facets, "dataSource", map[string]any{"name": store, "uri": namespace})
	return d
}

func (l *Lineage) schema(d *lineageDataset, fields []map[string]any) {
	if len(fields) > 0 {
		l.facet(d.Facets, "schema", map[string]any{"fields": fields})
	}
}

// fieldsOf are the columns as they were brought, with what schema.yml says of them; of a model, what it says alone.
func fieldsOf(d *elt.Dataset, m *elt.Manifest) (fields []map[string]any) {
	docs := make(map[string]elt.ColumnDoc, len(d.Columns))
	for _, c := range d.Columns {
		docs[c.Name] = c
	}
	if m == nil {
		for _, c := range d.Columns {
			fields = append(fields, field(c.Name, c.Type, c.Description))
		}
		return fields
	}
	for _, c := range m.Schema {
		fields = append(fields, field(c.Name, c.Type.String(), docs[c.Name].Description))
	}
	return fields
}

func field(name, kind, description string) map[string]any {
	f := map[string]any{"name": name}
	if kind != "" {
		f["type"] = kind
	}
	if description != "" {
		f["description"] = description
	}
	return f
}
