package transform

import (
	"errors"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// partitionTypes are the data types that partition_by may name, with the least granularity of each.
var partitionTypes = map[string]elt.Granularity{"date": elt.ByDay, "datetime": elt.ByHour, "timestamp": elt.ByHour}

// foreignPartition says what to do instead of some of dbt's keys of partition_by.
var foreignPartition = map[string]string{
	"range":                       "sort by the column instead: cluster_by=['…']",
	"time_ingestion_partitioning": "partition by a column of the model",
	"copy_partitions":             "remove it: Daybreak copies where that is possible",
}

// setPartition reads partition_by in the shape of dbt's adapter for BigQuery, or a column's name alone.
func (m *modelConfig) setPartition(v any) error {
	if name, ok := v.(string); ok {
		v = map[string]any{"field": name, "data_type": ""}
	}
	keys, ok := jinja.FromGo(v).(jinja.Dict)
	if !ok {
		return errors.New("is a mapping: {'field': 'created_at', 'data_type': 'timestamp', 'granularity': 'day'}")
	}
	texts := map[string]string{"field": "", "data_type": "date", "granularity": ""}
	for _, e := range keys {
		key := e.Key
		if _, known := texts[key]; !known {
			do := foreignPartition[key]
			if do == "" {
				do = yamlfile.Suggest(key, []string{"field", "data_type", "granularity"})
			}
			return fmt.Errorf("%q is not supported; %s", key, do)
		}
		if texts[key], ok = e.Value.(string); !ok {
			return fmt.Errorf("%s is a text", key)
		}
	}
	granularity, err := elt.ParseGranularity(texts["granularity"])
	if err != nil {
		return err
	}
	if texts["field"] == "" {
		return errors.New("names no field")
	}
	as := strings.ToLower(texts["data_type"])
	least, known := partitionTypes[as]
	switch {
	case as != "" && !known:
		return fmt.Errorf("data_type %q has no partitions: date, datetime or timestamp; to sort by another, use cluster_by", texts["data_type"])
	case as != "" && least == elt.ByDay && granularity == elt.ByHour:
		return errors.New("a date has no hours: use day, month or year")
	}
	m.layout.PartitionBy, m.layout.Granularity = texts["field"], granularity
	return nil
}

// misplaced says what does not fit together in the model's layout.
func (m *modelConfig) misplaced() string {
	if m.layout.IsZero() {
		return ""
	}
	if m.materialized == elt.AsView || m.materialized == elt.AsEphemeral {
		return fmt.Sprintf("partition_by and cluster_by say nothing to a model materialized as %s: it has no rows of its own", m.materialized)
	}
	if err := m.layout.Check(); err != nil {
		return err.Error()
	}
	return ""
}

// Layout returns how a model's published table is arranged.
func (p *Project) Layout(d elt.DatasetName) elt.Layout {
	if m, ok := p.models[d]; ok {
		return m.config.layout
	}
	return elt.Layout{}
}
