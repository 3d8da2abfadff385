package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// A few nights only, so that the sentences are about the situation and not about older gaps.
func calm() *statustest.World { return statustest.Calm(4) }

func at(w *statustest.World, hour, minute int) *statustest.World {
	w.At = w.Night.AddDays(1).At(hour, minute, w.Zone)
	return w
}

// What the overview says in every situation: the sentence, the numbers, and the troubles' titles.
func TestOverviewSentences(t *testing.T) {
	for name, test := range map[string]struct {
		world  func() *statustest.World
		head   string
		detail string
		titles []string
	}{
		"all ready": {calm,
			"Friday’s data is ready.",
			"All 15 datasets are ready for Fri 20 Nov. The last arrived at 06:44. The next night starts Sun 22 Nov, 04:30.", nil},
		"no datasets": {func() *statustest.World {
			w := calm()
			w.Ledger = statustest.New(w.Now)
			return w
		}, "There are no datasets yet.", "Name a table in schedules/ or write a model in sql/models, then run daybreak check: they appear here with their first night.", nil},
		"first night ahead": {func() *statustest.World { return statustest.Calm(0) },
			"The first night has not run yet.", "15 datasets are declared. The next night starts Sun 22 Nov, 04:30.", nil},
		"first night under way": {func() *statustest.World {
			w := at(statustest.Calm(1), 5, 10)
			w.Begin("early")
			w.Begin("nightly")
			w.Forget("finance")
			w.Work("shop.users", elt.ExtractStep, time.Minute, 40)
			return w
		}, "Friday’s data is on its way.", "None of 15 datasets is ready for Fri 20 Nov yet. 15 are on their way, due by 07:30.", nil},
		"before the night": {func() *statustest.World {
			w := at(calm(), 3, 0)
			for _, schedule := range []string{"early", "nightly", "finance"} {
				w.Forget(schedule)
			}
			return w
		}, "Thursday’s data is ready.", "All 15 datasets are ready for Thu 19 Nov. The last arrived at 06:52. The next night starts 04:30.", nil},
		"most ready, the rest on its way": {func() *statustest.World {
			w := at(calm(), 6, 14)
			w.Begin("nightly")
			w.Work("shop.conversations", elt.LoadStep, 40*time.Minute, 71)
			return w
		}, "Most of Friday’s data is ready. The rest is on its way.", "9 of 15 datasets are ready for Fri 20 Nov. 6 are on their way, due by 07:30.", nil},
		"an extract failed": {func() *statustest.World {
			w := calm()
			w.Begin("finance")
			w.Break("finance.invoices", elt.ExtractStep)
			w.Succeed("finance.subscriptions", elt.ExtractStep, time.Second, time.Minute)
			return w
		}, "Most of Friday’s data is ready. finance.invoices, revenue and board_report are not.",
			"10 of 15 datasets are ready for Fri 20 Nov. 1 is on its way, due by 07:00. 3 are held up. 1 is late.",
			[]string{"p1: finance.invoices failed while extracting", "p1: finance.subscriptions is late: it was due 06:30"}},
		"one is late": {func() *statustest.World {
			w := at(calm(), 7, 10)
			w.Begin("nightly")
			w.Work("shop.conversations", elt.LoadStep, 40*time.Minute, 71)
			return w
		}, "Most of Friday’s data is ready. shop.conversations is late.",
			"9 of 15 datasets are ready for Fri 20 Nov. 5 are on their way, due by 07:30. 1 is late.",
			[]string{"p1: shop.conversations is late: it was due 07:00"}},
		"a worker vanished": {func() *statustest.World {
			w := calm()
			w.Begin("early")
			w.Lose("shop.users", elt.LoadStep)
			return w
		}, "Most of Friday’s data is ready. shop.users and active_users are unknown.",
			"11 of 15 datasets are ready for Fri 20 Nov. 2 are on their way, due by 07:00. 2 are unknown.",
			[]string{"p1: Nobody can vouch for shop.users"}},
		"retrying": {func() *statustest.World {
			w := at(calm(), 5, 40)
			w.Begin("finance")
			w.Retry("finance.invoices", elt.ExtractStep, 17*time.Minute)
			return w
		}, "Most of Friday’s data is ready. The rest is on its way.",
			"10 of 15 datasets are ready for Fri 20 Nov. 5 are on their way, due by 07:00.",
			[]string{"notice: finance.invoices is tried again at 05:57"}},
		"paused": {func() *statustest.World {
			w := at(calm(), 5, 10)
			w.Begin("early")
			w.Work("shop.users", elt.ExtractStep, time.Minute, 40)
			w.Pause("shop.users", elt.ExtractStep, "source budget (replica lag 90s, at most 30s)")
			return w
		}, "Most of Friday’s data is ready. The rest is on its way.",
			"11 of 15 datasets are ready for Fri 20 Nov. 4 are on their way, due by 07:00.",
			[]string{"notice: shop.users is paused: source budget (replica lag 90s, at most 30s)"}},
		"withdrawn": {func() *statustest.World {
			w := calm()
			d := w.Day("revenue", w.Night)
			d.Withdrawn = "plan prices are wrong"
			w.SetDay(d)
			return w
		}, "Most of Friday’s data is ready. revenue is not.",
			"14 of 15 datasets are ready for Fri 20 Nov. 1 is withdrawn. 1 was made from an input that has changed since. The next night starts Sun 22 Nov, 04:30.",
			[]string{"problem: revenue of Fri 20 Nov was withdrawn"}},
		"publishing failed": {func() *statustest.World {
			w := calm()
			run := w.Begin("finance")
			w.Pass("finance.invoices", "finance.subscriptions", "revenue", "churn", "board_report")
			w.SetStep(elt.Step{
				ID: elt.NewStepID(run, elt.PublishStep, ""), Run: run, Kind: elt.PublishStep, Date: w.Night, State: elt.StepFailed, Attempt: 3, StartedAt: w.At, FinishedAt: w.At,
				Error: &elt.Failure{Code: "disk_full", Class: elt.Quota, Message: "the warehouse's disk is full", Do: "make room"},
			})
			return w
		}, "Most of Friday’s data is ready. 5 datasets are not.",
			"10 of 15 datasets are ready for Fri 20 Nov. 5 are held up. The next night starts Sun 22 Nov, 04:30.",
			[]string{"p1: The night of Fri 20 Nov could not be published"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := test.world()
			s := serve(t, w)
			v, _ := s.current()
			var titles []string
			for _, trouble := range v.night.trouble {
				titles = append(titles, string(trouble.Severity)+": "+trouble.Title)
			}
			if diff := cmp.Diff([]string{test.head, test.detail}, []string{v.night.sentence, v.night.detail}); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.titles, titles); diff != "" {
				t.Error(diff)
			}
			if answer, body := get(t, s, "/"); answer.StatusCode != 200 || strings.Contains(body, "<no value>") || strings.Contains(body, "%!") {
				t.Errorf("the page: %d", answer.StatusCode)
			}
		})
	}
}

func TestDatasetSentences(t *testing.T) {
	w := statustest.Busy()
	w.Flags()
	s := serve(t, w)
	for name, want := range map[elt.DatasetName]string{
		"shop.campaigns":     "shop.campaigns is complete through Fri 20 Nov. | Fri 20 Nov is ready since 05:09. 984 rows, with a warning.",
		"shop.users":         "shop.users is complete through Fri 20 Nov. | Fri 20 Nov is ready since 05:09. It was due 07:00. 1,204,646 rows, every check passed. A newer version is being made; this one serves until then.",
		"active_users":       "active_users is complete through Fri 20 Nov. | Fri 20 Nov is ready since 05:09. It was due 07:00. 310,502 rows, every check passed. It was made from an older version of shop.users, and from shop.companies, since withdrawn.",
		"shop.companies":     "shop.companies is complete through Thu 19 Nov. | Fri 20 Nov was withdrawn: plan names of trial accounts are wrong. It was due 07:00. 48,250 rows, every check passed.",
		"shop.conversations": "shop.conversations is complete through Thu 19 Nov. | Fri 20 Nov is loading, 70% done. Due 07:00. Usually ready at 06:48.",
		"shop.teammates":     "shop.teammates is complete through Thu 19 Nov. | Fri 20 Nov is verified and appears when the night is published. Due 07:30. Usually ready at 06:48.",
		"response_times":     "response_times is complete through Thu 19 Nov. | Fri 20 Nov waits for stg_conversations, shop.message_parts and shop.teammates. Due 07:30. Usually ready at 06:48.",
		"finance.invoices":   "finance.invoices is complete through Thu 19 Nov. | Fri 20 Nov failed while extracting. Due 06:30. Usually ready at 05:53.",
		"board_report":       "board_report is complete through Thu 29 Oct. | Fri 20 Nov is held up by finance.invoices, which failed while extracting. Mon 9 Nov and Fri 30 Oct are missing. Due 07:00. Usually ready at 05:53.",
	} {
		v, _ := s.current()
		head, detail := v.describeDataset(v.byName[name])
		if got := head + " | " + detail; got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestRunSentences(t *testing.T) {
	s := serve(t, statustest.Busy())
	for id, want := range map[string]string{
		"20261121t0500-nightly": "The night of Fri 20 Nov is under way: 4 of 16 steps done.",
		"20261121t0500-finance": "The night of Fri 20 Nov is under way: 4 of 13 steps done.",
		"20261120t0500-nightly": "The night of Thu 19 Nov is published, whole.",
		"20261110t0500-finance": "The night of Mon 9 Nov is published without board_report.",
	} {
		_, page := get(t, s, "/runs/"+id)
		if !strings.Contains(strings.NewReplacer("\u00a0", " ", "<wbr>", "").Replace(page), want) {
			t.Errorf("%s lacks %q", id, want)
		}
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{grouped(-1234567), "-1,234,567"}, {grouped(999), "999"}, {grouped(0), "0"},
		{sized(999), "999 B"}, {sized(1000), "1 kB"}, {sized(163_500_000), "164 MB"}, {sized(1_740_000_000), "1.7 GB"},
		{span(38 * time.Second), "38 s"}, {span(1500 * time.Millisecond), "1.5 s"}, {span(-time.Second), "0 ms"}, {span(12*time.Minute + 59*time.Second), "12 min"},
		{span(65 * time.Minute), "1 h 05 min"}, {span(72 * time.Hour), "3 days"},
		{joinWords([]string{"a"}, 2), "a"}, {joinWords([]string{"a", "b", "c"}, 2), "a, b and c"}, {joinWords([]string{"a", "b", "c", "d"}, 2), "a, b and 2 more"},
		{sentence("no stop"), "No stop."}, {sentence("stg_users is empty"), "stg_users is empty."}, {sentence("slow. Then dead"), "Slow. Then dead."}, {sentence("why?"), "Why?"}, {sentence(""), ""},
		{string(prose("on Fri 20 Nov")), "on Fri\u00a020\u00a0Nov"}, {string(prose("<b> of shop.message_parts. Done.")), "&lt;b&gt; of shop.<wbr>message_<wbr>parts. Done."},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// No page and no body of any world says of a day that it is good when the board does not.
func TestGoodOnlyWhereTheBoardSaysSo(t *testing.T) {
	w := statustest.Busy()
	w.Flags()
	s := serve(t, w)
	v, _ := s.current()
	for key, d := range v.board.All() {
		set := v.byName[key.Dataset]
		p := v.pillOf(set, d)
		if green := p.Class == "ready"; green && !d.Good() {
			t.Errorf("%v is %s and shows %q", key, d.State, p.Text)
		}
		if cellClass(d) == "r" && !d.Good() {
			t.Errorf("%v is %s and its cell is green", key, d.State)
		}
		need, err := s.judge(t.Context(), v, need{key.Dataset, key.Date})
		if err != nil || (need.Verdict == api.Ready) != d.Good() {
			t.Errorf("%v is %s and its gate says %s, %v", key, d.State, need.Verdict, err)
		}
	}
}
