package status

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// route is one line of the table of everything that the service answers.
type route struct {
	method  string
	path    string
	handler echo.HandlerFunc
	caller  string // who calls it
	open    bool   // answered without a token, always
	stream  bool   // answers for as long as the client listens: not compressed, no deadline of its own
}

// routes is the table. A route that is not marked open needs the token.
func (s *Service) routes() []route {
	get := http.MethodGet
	return []route{
		{method: get, path: "/", handler: s.overviewPage, caller: "everybody: is my data ready?"},
		{method: get, path: "/datasets/:dataset", handler: s.datasetPage, caller: "an analyst who looks for one dataset"},
		{method: get, path: "/datasets/:dataset/:date", handler: s.dayPage, caller: "a click on a cell: what happened that day?"},
		{method: get, path: "/runs", handler: s.runsPage, caller: "whoever is on call"},
		{method: get, path: "/runs/:run", handler: s.runPage, caller: "whoever is on call: where does the night stand?"},
		{method: get, path: "/incidents", handler: s.incidentsPage, caller: "whoever is on call, and everybody who asks what happened"},
		{method: get, path: "/schedules", handler: s.schedulesPage, caller: "whoever wonders when the next night starts"},

		{method: get, path: "/v1/summary", handler: s.getSummary, caller: "dashboards, daybreak status"},
		{method: get, path: "/v1/datasets", handler: s.getDatasets, caller: "catalogues, daybreak status"},
		{method: get, path: "/v1/datasets/:dataset", handler: s.getDataset, caller: "pollers with If-None-Match"},
		{method: get, path: "/v1/datasets/:dataset/days", handler: s.getDays, caller: "reports over a range"},
		{method: get, path: "/v1/datasets/:dataset/days/:date", handler: s.getDay, caller: "jobs that want the reason"},
		{method: get, path: "/v1/datasets/:dataset/lineage", handler: s.getLineage, caller: "catalogues"},
		{method: get, path: "/v1/runs", handler: s.getRuns, caller: "operators' scripts"},
		{method: get, path: "/v1/runs/:run", handler: s.getRun, caller: "operators' scripts"},
		{method: get, path: "/v1/runs/:run/steps", handler: s.getSteps, caller: "progress displays"},
		{method: get, path: "/v1/ready", handler: s.getReady, caller: "a job's gate"},
		{method: get, path: "/v1/wait", handler: s.getWait, caller: "a job that waits, daybreak wait", stream: true},
		{method: get, path: "/v1/events", handler: s.getEvents, caller: "the pages' script, event consumers", stream: true},
		{method: get, path: "/v1/schedules", handler: s.getSchedules, caller: "operators' scripts"},
		{method: get, path: "/v1/incidents", handler: s.getIncidents, caller: "on-call tools"},
		{method: get, path: "/openapi.json", handler: s.getOpenAPI, caller: "client generators"},
		{method: get, path: "/metrics", handler: s.getMetrics, caller: "Prometheus"},

		{method: get, path: "/healthz", handler: s.getHealth, caller: "the process supervisor: is it alive?", open: true},
		{method: get, path: "/readyz", handler: s.getReadiness, caller: "the load balancer: does it know anything?", open: true},
		{method: get, path: "/login", handler: s.loginPage, caller: "a browser without a session", open: true},
		{method: http.MethodPost, path: "/login", handler: s.postLogin, caller: "the login form", open: true},
		{method: get, path: "/static/:file", handler: s.getStatic, caller: "the pages, the login form among them", open: true},
	}
}
