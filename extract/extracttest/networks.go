package extracttest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// Networks puts every fault of a network into phases of a night, before the server that the URL names: the table comes
// exact, or fails in a sentence and without a manifest. It comes whatever the phase where the network is well again, or
// merely slow, and where everything was read before. make returns an extractor of the source at a URL, hurried where the
// server falls silent; query is added to each.
func Networks(t *testing.T, server, query string, moments []Moment, make func(t *testing.T, url string, hurried bool, lake *Lake) *extract.Extractor) {
	t.Helper()
	toxic := func(toxics ...testenv.Toxic) func(*testing.T, *testenv.Proxy) {
		return func(t *testing.T, p *testenv.Proxy) {
			for i, to := range []testenv.Direction{testenv.Answers, testenv.Requests}[:len(toxics)] {
				p.Add(t, toxics[i], to)
			}
		}
	}
	for _, f := range []struct {
		name   string
		happen func(*testing.T, *testenv.Proxy)
		comes  bool
	}{
		{"cut for a moment", func(t *testing.T, p *testenv.Proxy) { p.Cut(t); p.Restore(t) }, true},
		{"cut", func(t *testing.T, p *testenv.Proxy) { p.Cut(t) }, false},
		{"half-open", toxic(testenv.HalfOpen(), testenv.HalfOpen()), false},
		{"reset", toxic(testenv.ResetPeer()), false},
		{"slow", toxic(testenv.Bandwidth(20_000)), true},
		{"late", toxic(testenv.Latency(3 * time.Millisecond)), true},
	} {
		for _, moment := range moments {
			t.Run(f.name+" "+string(moment)+query, func(t *testing.T) {
				t.Parallel()
				comes := f.comes || moment == Ending
				p := testenv.Toxiproxy(t).Before(t, server)
				lake := &Lake{}
				_, large, err := Night(t, make(t, p.URL+query, !comes, lake), lake, moment, func() { f.happen(t, p) })
				if err == nil {
					Exact(t, lake, large)
					return
				}
				failure := elt.NewFailure(err)
				if known := []elt.Code{extract.CodeConnectionLost, "source_unreachable"}; comes || !slices.Contains(known, failure.Code) || failure.Do == "" || !strings.Contains(failure.Message, "shop") {
					t.Errorf("the failure is %+v: %v", failure, err)
				}
				if slices.ContainsFunc(lake.Keys(), func(k string) bool { return strings.HasSuffix(k, "manifest.json") && strings.Contains(k, "large") }) {
					t.Error("a table that failed has a manifest")
				}
			})
		}
	}
}

// Restarts restarts the server at each moment of a night, by which time it serves again: the tables come, and say that
// they are of two moments where they are.
func Restarts(t *testing.T, restart func(), moments []Moment, make func(t *testing.T, lake *Lake) *extract.Extractor) {
	t.Helper()
	for _, moment := range moments {
		t.Run(string(moment), func(t *testing.T) {
			lake := &Lake{}
			small, large, err := Night(t, make(t, lake), lake, moment, restart)
			if err != nil {
				t.Fatal(err)
			}
			Exact(t, lake, large)
			if moment != Ending && (large.Source.CrossTableConsistent || large.Source.Epoch == 1 || !small.Source.CrossTableConsistent) {
				t.Errorf("the tables were read in %+v and in %+v", small.Source, large.Source)
			}
		})
	}
}

// OneMoment checks that both tables were read in the night's first snapshot.
func OneMoment(t *testing.T, small, large *elt.Manifest) {
	t.Helper()
	if !large.Source.CrossTableConsistent || large.Source.Snapshot != small.Source.Snapshot || large.Source.Epoch != 1 {
		t.Errorf("the tables were read in %+v and in %+v", small.Source, large.Source)
	}
}
