package status

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The texts that parameters may hold. The handlers hold requests against the very same expressions.
var (
	datasetText  = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$`)
	idText       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)
	numberText   = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)
	scheduleText = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,62}$`)
	lifeText     = regexp.MustCompile(`^(0|[1-9][0-9]{0,5}[smh])$`)
	waiterText   = regexp.MustCompile(`^[^\x00-\x1f\x7f-\x9f]{0,80}$`)
	yearText     = regexp.MustCompile(`^(19[7-9][0-9]|[2-8][0-9]{3})-`)
	versionText  = regexp.MustCompile(`^([a-z_][a-z0-9_.]{0,126}@[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}|[0-9]{4}-[0-9]{2}-[0-9]{2})$`)
	momentText   = regexp.MustCompile(`^$|^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}$|^[1-9][0-9]{0,4}[smh]$`)
	zoneText     = regexp.MustCompile(`^[A-Za-z0-9_+/-]{0,64}$`)
	planText     = regexp.MustCompile(`^[A-Za-z0-9_-]{10,1000}$`)
	timeoutText  = regexp.MustCompile(`^(([0-9]|[1-9][0-9]|[12][0-9]{2}|300)s?|[0-5]m|([0-9]{1,5}|[12][0-9]{5}|300000)ms)$`)
	plainText    = regexp.MustCompile(`^[^\x00]*$`)
)

// requiredParameters are those without which a request is refused.
var requiredParameters = map[string]bool{"need": true, "text": true, "reason": true, "name": true, "role": true, "plan_token": true}

// parameterSchemas say what a parameter may hold, by its name, or by its route's path and its name where routes differ.
// One that is not here is any text.
var parameterSchemas = map[string]object{
	"dataset":                             {"type": "string", "pattern": datasetText.String(), "maxLength": 127},
	"date":                                {"type": "string", "format": "date", "pattern": yearText.String()},
	"from":                                {"type": "string", "format": "date", "pattern": yearText.String()},
	"to":                                  {"type": "string", "format": "date", "pattern": yearText.String()},
	"run":                                 {"type": "string", "pattern": idText.String()},
	"incident":                            {"type": "string", "pattern": idText.String()},
	"remark":                              {"type": "string", "pattern": idText.String()},
	"token":                               {"type": "string", "pattern": idText.String()},
	"file":                                {"type": "string", "pattern": `^[a-z0-9_.]{1,140}$`},
	"limit":                               {"type": "integer", "minimum": 1, "maximum": 500},
	"open":                                {"type": "boolean"},
	asOf:                                  {"type": "string", "format": "date-time"},
	"after":                               {"type": "integer", "minimum": 0},
	"schedule":                            {"type": "string", "pattern": scheduleText.String()},
	"need":                                {"type": "string", "pattern": `^[a-z_][a-z0-9_.]*@\d{4}-\d{2}-\d{2}(,[a-z_][a-z0-9_.]*@\d{4}-\d{2}-\d{2})*$`},
	"timeout":                             {"type": "string", "pattern": timeoutText.String()},
	"as":                                  {"type": "string", "pattern": waiterText.String(), "maxLength": 80},
	"text":                                {"type": "string", "minLength": 1, "maxLength": fieldLimit, "pattern": plainText.String()},
	"reason":                              {"type": "string", "minLength": 1, "maxLength": fieldLimit, "pattern": plainText.String()},
	"name":                                {"type": "string", "minLength": 1, "maxLength": 80, "pattern": plainText.String()},
	"version":                             {"type": "string", "pattern": `^$|` + versionText.String()},
	"plan_token":                          {"type": "string", "pattern": `^[0-9a-f]{24}$`},
	"role":                                {"type": "string", "enum": elt.Roles()},
	"expires_in":                          {"type": "string", "pattern": lifeText.String()},
	"/v1/datasets limit":                  {"type": "integer", "minimum": 1, "maximum": 1000},
	"/v1/datasets cursor":                 {"type": "string", "pattern": `^$|` + datasetText.String()},
	"/ after":                             {"type": "string", "pattern": `^$|` + datasetText.String()},
	"/audit cursor":                       {"type": "string", "pattern": `^$|` + numberText.String()},
	"/runs cursor":                        {"type": "string", "pattern": `^$|` + idText.String()},
	"/ state":                             {"type": "string", "enum": append([]string{attention}, enums[dayStateType]...)},
	"/v1/audit cursor":                    {"type": "string", "pattern": `^$|` + numberText.String()},
	"/v1/runs cursor":                     {"type": "string", "pattern": `^$|` + idText.String()},
	"/v1/runs state":                      {"type": "string", "enum": enums[runStateType]},
	"/v1/datasets state":                  {"type": "string", "enum": append([]string{attention}, enums[dayStateType]...)},
	"/runs state":                         {"type": "string", "enum": enums[runStateType]},
	"until":                               {"type": "string", "pattern": momentText.String()},
	"/v1/maintenance from":                {"type": "string", "pattern": momentText.String()},
	"/v1/maintenance to":                  {"type": "string", "pattern": momentText.String()},
	"/maintenance from":                   {"type": "string", "pattern": momentText.String()},
	"/maintenance to":                     {"type": "string", "pattern": momentText.String()},
	"timezone":                            {"type": "string", "pattern": zoneText.String()},
	"datasets":                            {"type": "string", "maxLength": fieldLimit, "pattern": plainText.String()},
	"sources":                             {"type": "string", "maxLength": fieldLimit, "pattern": plainText.String()},
	"everything":                          {"type": "string", "enum": []string{"", "true", "false", "on"}},
	"window":                              {"type": "string", "pattern": idText.String()},
	"backfill":                            {"type": "string", "pattern": idText.String()},
	"mode":                                {"type": "string", "enum": elt.BackfillModes()},
	"downstream":                          {"type": "string", "enum": []string{"true", "false"}},
	"/v1/backfills plan_token":            {"type": "string", "pattern": planText.String()},
	"/backfills plan_token":               {"type": "string", "pattern": planText.String()},
	"/v1/backfills cursor":                {"type": "string", "pattern": `^$|` + numberText.String()},
	"/backfills cursor":                   {"type": "string", "pattern": `^$|` + numberText.String()},
	"/v1/backfills/:backfill/days cursor": {"type": "string", "pattern": `^$|` + numberText.String()},
	"/v1/backfills/:backfill/days state":  {"type": "string", "enum": elt.BackfillDayStates()},
}

func schemaOfParameter(path, name string) object {
	for _, key := range []string{path + " " + name, name} {
		if schema, ok := parameterSchemas[key]; ok {
			return schema
		}
	}
	return object{"type": "string"}
}

// refusalsOf are the statuses and codes with which a route can refuse. They follow from what it reads; what its act can
// add is in its line of the table.
func refusalsOf(r route) map[int][]elt.Code {
	out := map[int][]elt.Code{
		http.StatusTooManyRequests:     {codeTooManyRequests},
		http.StatusInternalServerError: {codeInternal},
	}
	add := func(status int, codes ...elt.Code) { out[status] = append(out[status], codes...) }
	if !r.open {
		add(http.StatusUnauthorized, codeUnauthorized)
		add(http.StatusForbidden, codeForbidden)
	}
	if !r.open || r.path == "/readyz" {
		add(http.StatusServiceUnavailable, codeNothingKnownYet, codeLedgerAway, codeStatusStale)
	}
	if r.method == http.MethodPost {
		add(http.StatusForbidden, codeCrossOrigin)
		add(http.StatusBadRequest, codeBadRequest)
		add(http.StatusRequestEntityTooLarge, codeTooLarge)
		add(http.StatusServiceUnavailable, codeLedgerAway)
		add(http.StatusUnsupportedMediaType, codeBadRequest)
		if r.answers != nil {
			add(http.StatusConflict, "idempotency_key_reused", "request_in_progress")
		}
	}
	if len(r.query) > 0 {
		add(http.StatusBadRequest, codeBadRequest)
	}
	if r.path == "/login" && r.method == http.MethodPost {
		add(http.StatusUnauthorized, codeUnauthorized)
	}
	addByName(r, add)
	for status, codes := range r.refuses {
		add(status, codes...)
	}
	return out
}

// addByName adds what can be wrong with what the route is told by name.
func addByName(r route, add func(int, ...elt.Code)) {
	names := make(map[string]bool)
	for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
		names[m[1]] = true
	}
	for _, p := range r.query {
		names[p.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch name {
		case "dataset", "file":
			add(http.StatusNotFound, codeDatasetUnknown, codeRouteUnknown)
		case "date":
			add(http.StatusBadRequest, codeBadRequest)
			add(http.StatusNotFound, codeDayUnknown)
		case "run", "incident", "remark", "token", "backfill":
			add(http.StatusNotFound, elt.Code(name+"_unknown"))
		case "need":
			add(http.StatusBadRequest, codeBadNeed)
			add(http.StatusNotFound, codeDatasetUnknown)
		}
	}
	if strings.HasPrefix(r.path, "/badge/") {
		add(http.StatusNotFound, codeDatasetUnknown)
	}
}
