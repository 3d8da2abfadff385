package schedules

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// The codes of problems in schedules.
const (
	codeNoSchedules        elt.Code = "no_schedules"
	codeScheduleFile       elt.Code = "schedule_file"
	codeEmptySchedule      elt.Code = "empty_schedule"
	codeTimeMissing        elt.Code = "schedule_time_missing"
	codeBadTime            elt.Code = "bad_time"
	codeBadCron            elt.Code = "bad_cron"
	codeCronTooOften       elt.Code = "cron_too_often"
	codeBadDay             elt.Code = "bad_weekday"
	codeBadZone            elt.Code = "bad_timezone"
	codeDeadlineBeforeTick elt.Code = "deadline_before_tick"
	codeBadCatchUp         elt.Code = "bad_catch_up"
	codeCatchUpGap         elt.Code = "catch_up_gap"
	codeCalendarGap        elt.Code = "calendar_gap"
	codeBadRetries         elt.Code = "bad_retries"
	codeBadHoliday         elt.Code = "bad_on_holiday"
	codeUnknownCalendar    elt.Code = "calendar_unknown"
	codeBadOverlapRule     elt.Code = "bad_overlap_rule"
	codeBadWaitFor         elt.Code = "bad_wait_for"
	codeDatasetName        elt.Code = "bad_dataset_name"
	codeDatasetTwice       elt.Code = "dataset_twice"
	codeUnknownSource      elt.Code = "unknown_source"
	codeBadMode            elt.Code = "bad_mode"
	codeKeyMissing         elt.Code = "key_missing"
	codeCursorMissing      elt.Code = "cursor_missing"
	codeIncrementalOnly    elt.Code = "incremental_only"
	codeBadOverlap         elt.Code = "bad_overlap"
	codeBadNullCursor      elt.Code = "bad_null_cursor"
	codeNumbersOnly        elt.Code = "numbers_only"
	codeNumbersByDate      elt.Code = "numbers_by_date"
	codeBadDeletes         elt.Code = "bad_deletes"
	codeBadLevel           elt.Code = "bad_level"
	codeBadExpectRows      elt.Code = "bad_expect_rows"
	codeColumnRules        elt.Code = "column_rules"
	codeTypeRule           elt.Code = "type_rule"
	codeDriftRule          elt.Code = "drift_rule"
	codeMaskKeyMissing     elt.Code = "mask_key_missing"
	codeBadOwner           elt.Code = "bad_owner"
	codeOneOwner           elt.Code = "one_owner"
	codeBadSelector        elt.Code = "bad_selector"
	codeLayoutInvalid      elt.Code = "layout_invalid"
)

// Options is what the schedules are checked against.
type Options struct {
	// Sources are the sources of daybreak.yaml, each with the schema in which a table is looked for that names
	// none: "public" for PostgreSQL, "" where there are no schemas. Nil when nobody knows them: then none is unknown.
	Sources map[elt.SourceName]string
	// Calendars are those of daybreak.yaml; nil when nobody knows them: then none is unknown.
	Calendars map[elt.CalendarName]*elt.Calendar

	MaskKey bool // whether there is a key for columns.hash
	// Defaults are what sources say for their datasets.
	Defaults  map[elt.SourceName]SourceDefaults
	DecidePII bool // each column that looks personal must be decided upon
}

// Parse reads every *.yaml of the workspace's schedules folder, in name order, and returns what is wrong with them at
// once, warnings included. Files in problems are relative to the workspace.
func Parse(fsys fs.FS, o Options) ([]*Schedule, elt.Problems) {
	entries, err := fs.ReadDir(fsys, ".")
	p := &parser{Options: o, brought: map[elt.DatasetName]string{}}
	if err != nil {
		return nil, elt.Problems{{File: folder, Code: codeNoSchedules, What: fmt.Sprintf("the folder cannot be read: %v", err),
			Do: "create schedules/nightly.yaml, or run daybreak init"}}
	}
	names := map[elt.ScheduleName]string{}
	for _, e := range entries {
		file := path.Join(folder, e.Name())
		name := elt.ScheduleName(strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".yaml"), ".yml"))
		switch {
		case strings.HasPrefix(e.Name(), "."), string(name) == e.Name() && !e.IsDir():
			continue // an editor's file, a README
		case e.IsDir():
			p.add(elt.Problem{File: file, Code: codeScheduleFile, What: "folders within schedules are not read", Do: "move its files up", Warning: true})
		case !elt.ValidPlainName(string(name)):
			p.add(elt.Problem{File: file, Code: codeScheduleFile, What: fmt.Sprintf("%q cannot name a schedule", name),
				Do: "rename the file: lower-case letters, digits, _ and -, beginning with a letter"})
		case names[name] != "":
			p.add(elt.Problem{File: file, Code: codeScheduleFile, What: fmt.Sprintf("the schedule %s is already given by %s", name, names[name]), Do: "remove one of the two files"})
		default:
			names[name] = file
			data, err := fs.ReadFile(fsys, e.Name())
			if err != nil {
				p.add(elt.Problem{File: file, Code: codeScheduleFile, What: fmt.Sprintf("it cannot be read: %v", err), Do: "check its permissions"})
				continue
			}
			p.schedule(name, file, data)
		}
	}
	if len(names) == 0 && len(p.problems) == 0 {
		p.add(elt.Problem{File: folder, Code: codeNoSchedules, What: "there is no schedule", Do: "create schedules/nightly.yaml, or run daybreak init"})
	}
	if len(p.schedules) == 1 && !p.modelsGiven {
		p.schedules[0].Models = []string{"*"}
	}
	p.empty()
	yamlfile.Sort(p.problems)
	return p.schedules, p.problems
}

// folder is where the schedules of a workspace are.
const folder = "schedules"

// scheduleYAML is a schedule as it is written.
type scheduleYAML struct {
	At       string               `yaml:"at"`
	Cron     string               `yaml:"cron"`
	Days     []string             `yaml:"days"`
	Timezone string               `yaml:"timezone"`
	Deadline string               `yaml:"deadline"`
	CatchUp  CatchUp              `yaml:"catch_up"`
	Calendar elt.CalendarName     `yaml:"calendar"`
	Holiday  OnHoliday            `yaml:"on_holiday"`
	Overlap  Overlap              `yaml:"overlap"`
	WaitFor  waitForYAML          `yaml:"wait_for"`
	Retries  retriesYAML          `yaml:"retries"`
	Owners   []string             `yaml:"owners"`
	Tables   map[string]tableYAML `yaml:"tables"`
	Models   []string             `yaml:"models"`
}

type retriesYAML struct {
	Attempts int           `yaml:"attempts"`
	First    time.Duration `yaml:"first_delay"`
	Max      time.Duration `yaml:"max_delay"`
	Wait     time.Duration `yaml:"max_wait"`
}

type waitForYAML struct {
	Datasets []elt.DatasetName `yaml:"datasets"`
	AtMost   time.Duration     `yaml:"at_most"`
}

type parser struct {
	Options
	schedules   []*Schedule
	problems    elt.Problems
	brought     map[elt.DatasetName]string // where each dataset was first named
	modelsGiven bool                       // some schedule says which models it builds
}

func (p *parser) add(problems ...elt.Problem) { p.problems = append(p.problems, problems...) }

// reading is the file that is being parsed.
type reading struct {
	*parser
	file     *yamlfile.File
	text     scheduleYAML
	schedule *Schedule
	problems elt.Problems // with its meaning
}

// schedule parses one file.
func (p *parser) schedule(name elt.ScheduleName, file string, data []byte) {
	f, problems := yamlfile.Parse(file, data)
	r := &reading{parser: p, file: f, schedule: &Schedule{Name: name, File: file, Zone: time.UTC, CatchUp: CatchUpLatest, OnHoliday: SkipHolidays, Overlap: OverlapQueue}}
	if problems.Err() != nil && f.Root().Kind == yamlfile.Null {
		p.add(problems...)
		return // it could not be read: what it lacks is no further problem
	}
	r.text = scheduleYAML{Retries: retriesYAML{Attempts: 3, First: 30 * time.Second, Max: 10 * time.Minute, Wait: time.Hour}}
	problems = append(problems, f.Decode(&r.text)...)
	r.time()
	r.zone()
	r.deadline(r.text.Deadline, "deadline")
	r.catchUp()
	r.holidays()
	r.overlap()
	r.waitFor()
	r.retries()
	r.owners(r.text.Owners, "owners")
	r.schedule.Deadline, r.schedule.Owners = r.text.Deadline, r.text.Owners
	r.tables()
	r.models()
	p.add(problems...)
	p.add(yamlfile.Without(r.problems, problems)...)
	p.schedules = append(p.schedules, r.schedule)
}

// problem adds a problem at the path.
func (r *reading) problem(code elt.Code, what, do string, path ...any) {
	r.problems = append(r.problems, r.file.Problem(code, what, do, path...))
}

// given reports whether the file has the path, be its value good or bad.
func (r *reading) given(path ...any) bool {
	line, _ := r.file.At(path...)
	return line > 0
}

// time reads when the schedule fires: at (with days) or cron.
func (r *reading) time() {
	s := r.schedule
	switch {
	case r.given("at") && r.given("cron"):
		r.problem(codeTimeMissing, "both at and cron say when it starts", "remove one of them", "cron")
	case r.given("cron"):
		c, hour, minute, err := parseCron(r.text.Cron)
		if err != nil {
			r.problem(err.Code, err.What, err.Do, "cron")
			break
		}
		s.Cron, s.calendar, s.Hour, s.Minute = r.text.Cron, c, hour, minute
	case r.given("at"):
		var ok bool
		if s.Hour, s.Minute, ok = parseClock(r.text.At); !ok {
			r.problem(codeBadTime, fmt.Sprintf("%q is not a time of day", r.text.At), `write it as "02:00"`, "at")
		}
	default:
		r.problem(codeTimeMissing, "nothing says when the schedule starts", `add at: "02:00", or a cron expression`)
	}
	if !r.given("days") {
		return
	}
	if r.given("cron") {
		r.problem(codeTimeMissing, "days goes with at; a cron expression has its own days", "write the days into the cron expression", "days")
		return
	}
	days, bad := parseDays(r.text.Days)
	for _, i := range bad {
		r.problem(codeBadDay, fmt.Sprintf("%q is not a day of the week", r.text.Days[i]), "write mon, tue, wed, thu, fri, sat or sun", "days", i)
	}
	s.calendar = calendar{days: days, text: "days: " + strings.Join(r.text.Days, ", ")}
}

func (r *reading) zone() {
	if r.text.Timezone == "" {
		r.problem(codeBadZone, "nothing says in which time zone the schedule's dates and times are", "add timezone: with an IANA name such as Europe/Dublin, or UTC", "timezone")
		return
	}
	if zone := r.location(r.text.Timezone, "timezone"); zone != nil {
		r.schedule.Zone = zone
	}
}

// location returns the IANA zone of that name, or nil after saying that there is none.
func (r *reading) location(name string, path ...any) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || name == "" {
		r.problem(codeBadZone, fmt.Sprintf("there is no time zone %q", name), "write an IANA name such as Europe/Dublin, or UTC", path...)
		return nil
	}
	return zone
}

// deadline checks a deadline against the schedule's start.
func (r *reading) deadline(clock string, path ...any) {
	if clock == "" {
		return
	}
	if err := r.schedule.CheckDeadline(clock); err != nil {
		r.problem(err.Code, err.What, err.Do, path...)
	}
}

func (r *reading) catchUp() {
	switch r.text.CatchUp {
	case CatchUpLatest, CatchUpAll:
		r.schedule.CatchUp = r.text.CatchUp
	case "":
	default:
		r.problem(codeBadCatchUp, fmt.Sprintf("catch_up cannot be %q", r.text.CatchUp),
			"write latest (run the newest missed date only) or all (run each)", "catch_up")
	}
}

func (r *reading) retries() {
	t := r.text.Retries
	const most = 100
	switch {
	case t.Attempts < 1 || t.Attempts > most:
		r.problem(codeBadRetries, fmt.Sprintf("%d attempts are not possible", t.Attempts), fmt.Sprintf("give a number from 1 (no retry) to %d", most), "retries", "attempts")
	case t.Wait < 0:
		r.problem(codeBadRetries, fmt.Sprintf("max_wait %s is negative", t.Wait), "give how long to wait for a source, such as 1h", "retries", "max_wait")
	case t.First < 0:
		r.problem(codeBadRetries, fmt.Sprintf("the delay %s is negative", t.First), "give a delay such as 30s", "retries", "first_delay")
	case t.Max < t.First:
		r.problem(codeBadRetries, fmt.Sprintf("max_delay %s is less than first_delay %s", t.Max, t.First), "give the larger of the two as max_delay", "retries", "max_delay")
	}
	r.schedule.Retries = Retries(t)
}

func (r *reading) owners(owners []string, path ...any) {
	for i, o := range owners {
		if strings.TrimSpace(o) == "" || slices.Contains(owners[:i], o) {
			r.problem(codeBadOwner, fmt.Sprintf("the owner %q is empty or named twice", o), "name people or teams by their addresses, each once", append(path, i)...)
		}
	}
}

func (r *reading) models() {
	r.schedule.Models = r.text.Models
	if r.given("models") {
		r.modelsGiven = true
	}
	for i, m := range r.text.Models {
		if strings.TrimSpace(m) == "" {
			r.problem(codeBadSelector, "a selector of models is empty", `write "*" for all models, a name, tag:… or path:…`, "models", i)
		}
	}
}

// empty reports schedules that bring nothing.
func (p *parser) empty() {
	for _, s := range p.schedules {
		if len(s.Tables) == 0 && len(s.Models) == 0 {
			p.add(elt.Problem{File: s.File, Line: 1, Column: 1, Code: codeEmptySchedule,
				What: fmt.Sprintf("schedule %s brings nothing", s.Name), Do: "list tables, or name models, or remove the file"})
		}
	}
}
