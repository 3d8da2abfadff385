package notify

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// LineageName is what the ledger and the logs call the OpenLineage endpoint.
const LineageName elt.DestinationName = "openlineage"

// Place is how OpenLineage names what lies in a store: https://openlineage.io/docs/spec/naming.
type Place struct {
	Namespace string // "postgres://shop.example.com:5432"
	Prefix    string // of its datasets' names: "shop."
}

// Lineage is an OpenLineage endpoint, and how events call things.
type Lineage struct {
	URL       string // as it was configured; without a path, Marquez's own is meant
	Key       string // sent as a bearer token; "" for none
	Namespace string // of the jobs
	Version   string // of Daybreak
	Sources   map[elt.SourceName]Place
	Tables    map[elt.DatasetName]string // what their sources call them; the dataset's name without its source by default
	Lake      Place
	Warehouse Place
	Dialect   string // of the warehouse's SQL
	// Code returns the SQL of a model as it was written, and as the warehouse would take it if that is known.
	Code func(elt.DatasetName) (source, query string)
}

// OpenLineage returns an endpoint that is told of every run and every attempt at a step, in the terms of
// https://openlineage.io/spec/2-0-2/OpenLineage.json.
func OpenLineage(l Lineage) Destination {
	return Destination{name: LineageName, url: lineageURL(l.URL), lineage: &l}
}

// lineageURL adds the path that the specification knows to a URL that has none.
func lineageURL(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if host, path, _ := strings.Cut(rest, "/"); host != "" && path == "" {
		return strings.TrimSuffix(url, "/") + "/api/v1/lineage"
	}
	return url
}

// answeredLineage judges an answer that is no success and no sign of trouble at the endpoint. Only what the endpoint says
// of this event gives the event up: what would befall every other one as well keeps it waiting until somebody corrects
// it, for each event that is given up is a hole in the graph.
func (d Destination) answeredLineage(code int, said string) elt.Delivery {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return withClass(elt.Config, later("lineage_unauthorized", said+": it does not take openlineage.api_key",
			"correct openlineage.api_key and restart `daybreak serve`; what happened meanwhile is told then", 0))
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return gaveUp("lineage_refused", elt.Data, said+" to this event", "look into the endpoint's log for why; the other events are told")
	}
	return withClass(elt.Config, later("lineage_misdirected", said+": it takes no events there",
		"correct openlineage.url and restart `daybreak serve`; what happened meanwhile is told then", 0))
}

func withClass(class elt.Class, d elt.Delivery) elt.Delivery {
	d.Error.Class = class
	return d
}

func (l *Lineage) body(m elt.Message) ([]byte, error) { return json.Marshal(l.event(m.Lineage)) }
