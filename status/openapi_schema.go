package status

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	dateType     = reflect.TypeFor[elt.Date]()
	rawType      = reflect.TypeFor[json.RawMessage]()
	dayStateType = reflect.TypeFor[elt.DayState]()
	runStateType = reflect.TypeFor[elt.RunState]()
)

// enums are the types that hold one of a few texts.
var enums = map[reflect.Type][]string{
	dayStateType:                         texts(elt.DayNotExpected, elt.DayScheduled, elt.DayWaiting, elt.DayRunning, elt.DayRetrying, elt.DayReady, elt.DayFailed, elt.DayBlocked, elt.DayUnknown),
	runStateType:                         texts(elt.RunRunning, elt.RunSucceeded, elt.RunPartial, elt.RunFailed, elt.RunCancelled),
	reflect.TypeFor[elt.DeadlineState](): texts(elt.DeadlineNone, elt.DeadlineOnTrack, elt.DeadlineAtRisk, elt.DeadlineBreached, elt.DeadlineMet, elt.DeadlineMissed),
	reflect.TypeFor[elt.StepState]():     texts(elt.StepPending, elt.StepRunning, elt.StepRetrying, elt.StepSucceeded, elt.StepFailed, elt.StepBlocked, elt.StepCancelled),
	reflect.TypeFor[elt.Role]():          texts(elt.Roles()...),
	reflect.TypeFor[api.Verdict]():       texts(api.Ready, api.Waiting, api.Unknown, api.Impossible),
	reflect.TypeFor[api.Severity]():      texts(api.P1, api.Problem, api.Notice),
}

func texts[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// document collects the schemas of the types that routes answer with.
type document struct {
	schemas object
	public  bool // whoever reaches the service may read
}

// schema describes a type as encoding/json writes it.
func (d *document) schema(t reflect.Type) object {
	switch t {
	case timeType:
		return object{"type": "string", "format": "date-time"}
	case dateType:
		return object{"type": "string", "pattern": `^(\d{4}-\d{2}-\d{2})?$`}
	case rawType:
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Slice:
		items := d.schema(t.Elem())
		if kind, ok := items["type"].(string); ok && t.Elem().Kind() == reflect.Pointer {
			items["type"] = []string{kind, "null"}
		}
		return object{"type": []string{"array", "null"}, "items": items}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		return d.structure(t)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	}
	if values, ok := enums[t]; ok {
		return object{"type": "string", "enum": values}
	}
	return object{"type": "string"}
}

// structure describes a struct once, and refers to that.
func (d *document) structure(t reflect.Type) object {
	name := t.Name()
	if strings.HasSuffix(t.PkgPath(), "/elt") {
		name = "elt." + name
	}
	if _, known := d.schemas[name]; !known {
		d.schemas[name] = nil // so that a type that holds itself ends
		properties, required := make(object), []string{}
		d.fields(t, properties, &required)
		schema := object{"type": "object", "properties": properties}
		if len(required) > 0 {
			schema["required"] = required
		}
		d.schemas[name] = schema
	}
	return object{"$ref": "#/components/schemas/" + name}
}

func (d *document) fields(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			d.fields(f.Type, properties, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		properties[name] = d.schema(f.Type)
		if maybeEmpty[t.Name()+"."+name] {
			field := maps.Clone(properties[name].(object))
			field["enum"] = append([]string{""}, field["enum"].([]string)...)
			properties[name] = field
		}
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

// maybeEmpty are fields that hold one of a few texts, or nothing: a dataset that has no day yet has a headline without
// a state.
var maybeEmpty = map[string]bool{"DayStatus.state": true, "DayStatus.deadline_state": true}
