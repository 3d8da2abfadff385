package status

import (
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// route is one line of the table of everything that the service answers.
type route struct {
	method  string
	path    string
	handler echo.HandlerFunc
	caller  string      // who calls it
	open    bool        // answered without a token, always
	role    elt.Role    // who may ask; without it, a viewer for GET, and only an admin for anything else
	answers any         // the body of a 200, for the API's description; nil for what is not part of it
	query   []parameter // what it reads from the query
	body    []parameter // the fields of its body, all of them texts
	media   string      // of a 200 that is neither JSON nor, where nothing is answered with, a page
	refuses refusals    // what else than what follows from its parameters it refuses with
	leads   bool        // answers with another address
	stream  bool        // answers for as long as the client listens: not compressed, no deadline of its own
}

// refusals are codes by the status that they are refused with.
type refusals map[int][]elt.Code

// needs is the least role that may ask. What nobody thought of is closed to most.
func (r route) needs() elt.Role {
	switch {
	case r.open:
		return anybody
	case r.role != "":
		return r.role
	case r.method == http.MethodGet:
		return elt.Viewer
	}
	return elt.Admin
}

// routes is the table. A route that is not marked open needs a token.
func (s *Service) routes() []route {
	get := http.MethodGet
	find := []parameter{{"q", "words that the name, description, tags or owners hold"}, {"owner", "one of its owners"}, {"state", "of its latest day; attention for all that needs a look"}}
	find = append(find, parameter{"mine", "names of datasets, or owners, with commas between"})
	page := []parameter{{"cursor", "next of the page before"}, {"limit", "how many at most"}}
	span := []parameter{{"from", "the first data date"}, {"to", "the last data date"}}
	runs := []parameter{{"schedule", "its name"}, {"state", "of the run"}}
	needs := []parameter{{"need", "orders@2026-01-05,users@2026-01-05"}}
	timeout := []parameter{{"timeout", "how long to wait, 55s by default, 5m at most"}, {"as", "who waits, for the dataset's page"}}
	after := []parameter{{"after", "the number of the last event seen, as Last-Event-ID"}}
	open := []parameter{{"open", "true for the open ones only"}}
	most := page[1:]
	join := slices.Concat[[]parameter]
	routes := []route{
		{method: get, path: "/", handler: s.overviewPage, caller: "everybody: is my data ready?", query: join(find, []parameter{{"after", "the last dataset of the page before"}})},
		{method: get, path: "/datasets/:dataset", handler: s.datasetPage, caller: "an analyst who looks for one dataset"},
		{method: get, path: "/datasets/:dataset/:date", handler: s.dayPage, caller: "a click on a cell: what happened that day?"},
		{method: get, path: "/lineage", handler: s.lineagePage, caller: "whoever wonders what is made from what"},
		{method: get, path: "/runs", handler: s.runsPage, caller: "whoever is on call", query: join(runs, page, span)},
		{method: get, path: "/runs/:run", handler: s.runPage, caller: "whoever is on call: where does the night stand?"},
		{method: get, path: "/incidents", handler: s.incidentsPage, caller: "whoever is on call, and everybody who asks what happened"},
		{method: get, path: "/incidents/:incident", handler: s.incidentPage, caller: "whoever looks after it, and whoever waits for its end"},
		{method: get, path: "/schedules", handler: s.schedulesPage, caller: "whoever wonders when the next night starts"},

		{method: get, path: "/v1/summary", handler: s.getSummary, caller: "dashboards, daybreak status", answers: api.Summary{}},
		{method: get, path: "/v1/datasets", handler: s.getDatasets, caller: "catalogues, daybreak status", answers: api.Datasets{}, query: join(find, page)},
		{method: get, path: "/v1/datasets/:dataset", handler: s.getDataset, caller: "pollers with If-None-Match", answers: api.OneDataset{}},
		{method: get, path: "/v1/datasets/:dataset/days", handler: s.getDays, caller: "reports over a range", answers: api.Days{}, query: join(span)},
		{method: get, path: "/v1/datasets/:dataset/days/:date", handler: s.getDay, caller: "jobs that want the reason", answers: api.Day{}},
		{method: get, path: "/v1/datasets/:dataset/days/:date/failing-rows", handler: s.getFailingRows, caller: "operators: which rows failed?", answers: api.FailingRows{}, role: elt.Operator},
		{method: get, path: "/v1/datasets/:dataset/sql", handler: s.getSQL, caller: "operators' tools", answers: api.ModelSQL{}, role: elt.Operator, refuses: refusals{http.StatusNotFound: {"sql_unknown"}}},
		{method: get, path: "/v1/lineage", handler: s.getGraph, caller: "catalogues", answers: api.Lineage{}},
		{method: get, path: "/v1/datasets/:dataset/lineage", handler: s.getLineage, caller: "catalogues", answers: api.Lineage{}},
		{method: get, path: "/v1/datasets/:dataset/waiters", handler: s.getWaiters, caller: "whoever is on call: who would be glad of it?", answers: api.Waiters{}},
		{method: get, path: "/v1/runs", handler: s.getRuns, caller: "operators' scripts", answers: api.Runs{}, query: join(runs, page, span)},
		{method: get, path: "/v1/runs/:run", handler: s.getRun, caller: "operators' scripts", answers: api.Run{}},
		{method: get, path: "/v1/runs/:run/steps", handler: s.getSteps, caller: "progress displays", answers: api.Steps{}},
		{method: get, path: "/v1/ready", handler: s.getReady, caller: "a job's gate", answers: api.Gate{}, query: join(needs)},
		{method: get, path: "/v1/wait", handler: s.getWait, caller: "a job that waits, daybreak wait", answers: api.Gate{}, query: join(needs, timeout), stream: true},
		{method: get, path: "/v1/events", handler: s.getEvents, caller: "the pages' script, event consumers", answers: elt.Event{}, media: "text/event-stream", query: join(after), stream: true},
		{method: get, path: "/v1/schedules", handler: s.getSchedules, caller: "operators' scripts", answers: api.Schedules{}},
		{method: get, path: "/v1/incidents", handler: s.getIncidents, caller: "on-call tools", answers: api.Incidents{}, query: join(open, most)},
		{method: get, path: "/feed.atom", handler: s.getAtom, caller: "feed readers, chat channels", media: "application/atom+xml", query: []parameter{{"dataset", "news of this dataset alone"}}},
		{method: get, path: "/feed.json", handler: s.getJSONFeed, caller: "feed readers", media: "application/feed+json", query: []parameter{{"dataset", "news of this dataset alone"}}},
		{method: get, path: "/badge/:file", handler: s.getBadge, caller: "READMEs, wikis, dashboards", media: "image/svg+xml"},
		{method: get, path: "/openapi.json", handler: s.getOpenAPI, caller: "client generators", media: "application/json"},
		{method: get, path: "/metrics", handler: s.getMetrics, caller: "Prometheus", media: "text/plain, application/openmetrics-text"},

		{method: get, path: "/healthz", handler: s.getHealth, caller: "the process supervisor: is it alive?", open: true, answers: api.Health{}},
		{method: get, path: "/readyz", handler: s.getReadiness, caller: "the load balancer: does it know anything?", open: true, answers: api.Readiness{}},
		{method: get, path: "/login", handler: s.loginPage, caller: "a browser without a session", open: true, query: []parameter{{"next", "the page to lead to"}}},
		{method: http.MethodPost, path: "/login", handler: s.postLogin, caller: "the login form", open: true, body: []parameter{{"token", "the token's text"}, {"next", "the page to lead to"}}},
		{method: http.MethodPost, path: "/logout", handler: s.postLogout, caller: "the button beside the name", role: elt.Viewer},
		{method: get, path: "/static/:file", handler: s.getStatic, caller: "the pages, the login form among them", open: true, query: []parameter{{"v", "a digest of the files: with it, they are kept for good"}}, media: "text/css, text/javascript, image/svg+xml"},
	}
	routes = append(append(routes, s.controlRoutes()...), s.loginRoutes()...)
	if s.opts.Acts == nil {
		return withMoments(routes)
	}
	routes = append(routes,
		route{method: get, path: "/audit", handler: s.auditPage, caller: "whoever asks who did that", role: elt.Operator, query: page},
		route{method: get, path: "/tokens", handler: s.tokensPage, caller: "an admin", role: elt.Admin},
		route{method: get, path: "/v1/audit", handler: s.getAudit, caller: "auditors", role: elt.Operator, answers: api.Audit{}, query: page},
		route{method: get, path: "/v1/tokens", handler: s.getTokens, caller: "admins' scripts", role: elt.Admin, answers: api.Tokens{}},
		route{method: get, path: "/v1/incidents/:incident/messages", handler: s.getMessages, caller: "whoever wonders why nobody called", role: elt.Operator, answers: api.Messages{}, query: most},
		route{method: get, path: "/v1/openlineage", handler: s.getOpenLineage, caller: "whoever wonders why Marquez knows nothing", role: elt.Operator, answers: api.OpenLineage{}},
		route{method: get, path: "/v1/incidents/:incident/updates", handler: s.getUpdates, caller: "on-call tools", answers: api.Remarks{}, query: most},
		route{method: get, path: "/v1/datasets/:dataset/notes", handler: s.getNotes, caller: "catalogues", answers: api.Remarks{}, query: most},
	)
	for _, a := range append(acts(), s.controlActs()...) {
		routes = append(routes, a.routes(s)...)
	}
	return withMoments(slices.Concat(routes, s.rollbackRoutes(), s.backfillRoutes()))
}

// withMoments says of the routes that can be asked as of a moment that they can.
func withMoments(routes []route) []route {
	for i := range routes {
		if r := &routes[i]; r.method == http.MethodGet && slices.Contains(pastRoutes, r.path) {
			r.query = append(slices.Clip(r.query), parameter{asOf, "the moment as of which it is said, as 2026-01-05T06:10:00Z; now by default"})
			r.refuses = maps.Clone(r.refuses)
			if r.refuses == nil {
				r.refuses = make(map[int][]elt.Code)
			}
			r.refuses[http.StatusBadRequest] = append(slices.Clip(r.refuses[http.StatusBadRequest]), "as_of_ahead")
			r.refuses[http.StatusGone] = []elt.Code{"as_of_forgotten"}
		}
	}
	return routes
}
