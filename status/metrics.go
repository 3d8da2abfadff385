package status

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// metrics has a registry of its own. What it tells of steps is read from the ledger's events, so that
// it holds for steps that ran in other processes too.
type metrics struct {
	registry     *prometheus.Registry
	steps        *prometheus.CounterVec
	stepSeconds  *prometheus.HistogramVec
	runs         *prometheus.CounterVec
	requests     *prometheus.CounterVec
	httpSeconds  *prometheus.HistogramVec
	failures     prometheus.Counter
	subscribers  prometheus.Gauge
	waiters      prometheus.Gauge
	observeMutex sync.Mutex
	started      map[elt.StepID]time.Time
	primed       bool
}

func newMetrics(current func() (view, bool)) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), started: make(map[elt.StepID]time.Time)}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m.steps = counter("daybreak_step_events_total", "Changes of steps recorded by the ledger, by the state reached.", "kind", "state")
	m.runs = counter("daybreak_run_events_total", "Changes of runs recorded by the ledger.", "event")
	m.requests = counter("daybreak_http_requests_total", "Requests answered.", "route", "method", "status")
	m.stepSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "daybreak_step_duration_seconds", Help: "How long attempts at steps took.",
		Buckets: []float64{.1, .5, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400},
	}, []string{"kind", "outcome"})
	m.httpSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "daybreak_http_request_duration_seconds", Help: "How long requests took; streams and waits by their whole length.",
		Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
	}, []string{"route"})
	m.failures = prometheus.NewCounter(prometheus.CounterOpts{Name: "daybreak_ledger_read_failures_total", Help: "Looks at the ledger that failed."})
	m.subscribers = prometheus.NewGauge(prometheus.GaugeOpts{Name: "daybreak_event_streams", Help: "Event streams open now."})
	m.waiters = prometheus.NewGauge(prometheus.GaugeOpts{Name: "daybreak_waiters", Help: "Requests that wait for a dataset now."})
	m.registry.MustRegister(m.steps, m.runs, m.requests, m.stepSeconds, m.httpSeconds, m.failures, m.subscribers, m.waiters,
		&boardCollector{current}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.httpSeconds.WithLabelValues(route).Observe(took.Seconds())
}

// observe counts events. The first batch is history from before the process started: it is not counted,
// only its running steps are remembered, so that their durations will be right.
func (m *metrics) observe(events []elt.Event) {
	m.observeMutex.Lock()
	defer m.observeMutex.Unlock()
	for _, e := range events {
		subject, state, _ := strings.Cut(e.Kind, ".")
		if subject == "run" && m.primed {
			m.runs.WithLabelValues(state).Inc()
		}
		if subject != "step" {
			continue
		}
		kind := stepKindOf(e.Step)
		if m.primed {
			m.steps.WithLabelValues(kind, state).Inc()
		}
		if elt.StepState(state) == elt.StepRunning {
			m.started[e.Step] = e.At
			continue
		}
		if began, ok := m.started[e.Step]; ok {
			if m.primed {
				m.stepSeconds.WithLabelValues(kind, state).Observe(e.At.Sub(began).Seconds())
			}
			delete(m.started, e.Step)
		}
	}
	m.primed = true
}

// stepKindOf reads the kind from a step's ID, "<run>/<kind>/<dataset>".
func stepKindOf(id elt.StepID) string {
	parts := strings.Split(string(id), "/")
	if len(parts) < 2 {
		return "unknown"
	}
	return parts[1]
}

// boardCollector tells of the board at the moment of the scrape.
type boardCollector struct{ current func() (view, bool) }

var (
	lagDesc      = prometheus.NewDesc("daybreak_evaluator_lag_seconds", "Seconds since the ledger was last read.", nil, nil)
	staleDesc    = prometheus.NewDesc("daybreak_status_stale", "1 when the last look at the ledger is too old to vouch for anything.", nil, nil)
	daysDesc     = prometheus.NewDesc("daybreak_days", "Days of the last ninety, by state.", []string{"state"}, nil)
	latestDesc   = prometheus.NewDesc("daybreak_dataset_state", "1 for the state of the dataset's latest expected day.", []string{"dataset", "schedule", "state", "deadline"}, nil)
	completeDesc = prometheus.NewDesc("daybreak_dataset_complete_through_timestamp_seconds", "End of the last date up to which every expected day is ready.", []string{"dataset"}, nil)
	rowsDesc     = prometheus.NewDesc("daybreak_dataset_rows", "Rows of the dataset's latest ready day.", []string{"dataset"}, nil)
	incidentDesc = prometheus.NewDesc("daybreak_incidents_open", "Open incidents.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b *boardCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagDesc, staleDesc, daysDesc, latestDesc, completeDesc, rowsDesc, incidentDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (b *boardCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	v, ok := b.current()
	if !ok {
		gauge(staleDesc, 1)
		return
	}
	gauge(lagDesc, v.lag.Seconds())
	gauge(staleDesc, map[bool]float64{true: 1}[v.stale])
	gauge(incidentDesc, float64(len(v.incidents)))
	states := make(map[elt.DayState]int)
	for _, d := range v.board.All() {
		states[d.State]++
	}
	for _, state := range []elt.DayState{elt.DayNotExpected, elt.DayScheduled, elt.DayWaiting, elt.DayRunning, elt.DayRetrying, elt.DayReady, elt.DayFailed, elt.DayBlocked, elt.DayUnknown} {
		gauge(daysDesc, float64(states[state]), string(state))
	}
	for _, set := range v.live() {
		h := set.headline
		if h.Latest.State == "" {
			continue
		}
		gauge(latestDesc, 1, string(set.Name), string(set.Schedule), string(h.Latest.State), string(h.Latest.Deadline))
		if !h.CompleteThrough.IsZero() {
			gauge(completeDesc, float64(h.CompleteThrough.AddDays(1).Start(set.zone).Unix()), string(set.Name))
		}
		if !h.LatestReady.IsZero() {
			if d, ok := v.day(set.Name, h.LatestReady); ok {
				gauge(rowsDesc, float64(d.Rows), string(set.Name))
			}
		}
	}
}
