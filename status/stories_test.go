package status

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// visitor is a person with a browser, who follows a story.
type visitor struct {
	t       *testing.T
	tab     context.Context
	url     string
	s       *Service
	acts    *statustest.Acts
	scripts bool
}

// sees fails unless the page says the text.
func (r *visitor) sees(texts ...string) {
	r.t.Helper()
	page := in[string](r.t, r.tab, `document.body.innerText.replaceAll("\u00a0", " ").replace(/\s+/g, " ")`)
	for _, text := range texts {
		if !strings.Contains(page, text) {
			r.t.Fatalf("at %s the page does not say %q: %s", in[string](r.t, r.tab, `location.pathname`), text, page)
		}
	}
}

// opens goes to an address, as from a bookmark.
func (r *visitor) opens(path string) { r.t.Helper(); visit(r.t, r.tab, r.url+path) }

// follows clicks what leads to another page, and waits for that.
func (r *visitor) follows(selector, to string) {
	r.t.Helper()
	if _, err := chromedp.RunResponse(r.tab, testenv.Click(selector)); err != nil {
		r.t.Fatalf("a click on %s: %v", selector, err)
	}
	if at := in[string](r.t, r.tab, `location.pathname`); at != to {
		r.t.Fatalf("%s leads to %s and not to %s", selector, at, to)
	}
	if err := r.s.Refresh(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// types writes into a field.
func (r *visitor) types(selector, text string) {
	r.t.Helper()
	if err := chromedp.Do(r.tab, testenv.Type(selector, text)); err != nil {
		r.t.Fatalf("typing into %s: %v", selector, err)
	}
}

// signsIn signs in with a token of that role.
func (r *visitor) signsIn(name string, role elt.Role) {
	r.t.Helper()
	r.opens("/login?next=/")
	r.types("#token", r.acts.Add(name, role, time.Time{}))
	r.follows(".login button", "/")
	r.sees("Signed in as " + name)
}

// stories are what people come for. Planning and starting a backfill belongs here as well, beside the page that it is
// done on.
var stories = map[string]func(r *visitor){
	"an analyst finds a dataset, and sees when it comes": func(r *visitor) {
		r.signsIn("analyst", elt.Viewer)
		r.types("[name=q]", "conversations")
		if r.scripts {
			if _, err := chromedp.Run(r.tab, chromedp.Poll[bool](`location.search === "?q=conversations" && document.querySelectorAll(".datasets tbody tr").length === 2`, chromedp.WithPollingTimeout(0))); err != nil {
				r.t.Fatal(err)
			}
		} else {
			r.follows("#find button", "/")
		}
		r.follows(`.datasets a.name[href="/datasets/shop.conversations"]`, "/datasets/shop.conversations")
		r.sees("shop.conversations is complete through Thu 19 Nov.", "Fri 20 Nov is loading", "Due 07:00", "usually 06:48")
	},
	"an analyst keeps theirs in an address": func(r *visitor) {
		r.signsIn("analyst", elt.Viewer)
		r.opens("/?owner=billing@example.com")
		r.follows(".mine a", "/")
		want := in[[]string](r.t, r.tab, `[...document.querySelectorAll(".datasets .name")].map((a) => a.textContent)`)
		if search := in[string](r.t, r.tab, `location.search`); search != "?mine=billing%40example.com" || len(want) != 5 {
			r.t.Fatalf("the address is %s, with %q", search, want)
		}
		r.opens("/?mine=churn,shop.users")
		if got := in[[]string](r.t, r.tab, `[...document.querySelectorAll(".datasets .name")].map((a) => a.textContent).sort()`); !cmp.Equal(got, []string{"churn", "shop.users"}) {
			r.t.Errorf("by name: %q", got)
		}
		r.sees("My datasets.")
	},
	"an analyst reads why it is late": func(r *visitor) {
		r.signsIn("analyst", elt.Viewer)
		r.follows(`.datasets a.name[href="/datasets/revenue"]`, "/datasets/revenue")
		r.sees("held up by finance.invoices", "finance.invoices failed while extracting", "password authentication failed", "What to do:")
		r.follows(`.trouble a[href^="/incidents/"]`, "/incidents/inc-0007")
		r.sees("nobody looks after it yet", "What it holds up", "board_report")
	},
	"whoever is on call acknowledges an incident and tells the news": func(r *visitor) {
		r.signsIn("on-call", elt.Operator)
		r.follows(`nav a[href="/incidents"]`, "/incidents")
		r.follows(`.trouble.failed h2 a`, "/incidents/inc-0007")
		r.follows(`form[action$="/acknowledge"] button`, "/incidents/inc-0007")
		r.sees("on-call looks after it")
		r.types(`form[action$="/updates"] [name=text]`, "The password was rotated.")
		r.follows(`form[action$="/updates"] button`, "/incidents/inc-0007")
		r.sees("The password was rotated.", "Opened: Invoices cannot be read from finance.")
		if !strings.HasPrefix(r.acts.Asked[0], "acknowledge inc-0007 by on-call") {
			r.t.Errorf("done: %q", r.acts.Asked)
		}
	},
	"whoever is on call retries a failed day": func(r *visitor) {
		r.signsIn("on-call", elt.Operator)
		r.opens("/datasets/finance.invoices/2026-11-20")
		if in[bool](r.t, r.tab, `document.querySelector('form[action$="/retry"]') !== null`) {
			r.t.Error("a retry is offered of a run that is still at work")
		}
		run, err := r.acts.Run(r.t.Context(), "20261121t0500-finance")
		if err != nil {
			r.t.Fatal(err)
		}
		steps, err := r.acts.Steps(r.t.Context(), run.ID)
		if err != nil {
			r.t.Fatal(err)
		}
		run.State, run.FinishedAt = elt.RunPartial, run.CreatedAt.Add(time.Hour)
		r.acts.SetRun(run)
		publish := steps[len(steps)-1]
		publish.State = elt.StepFailed
		r.acts.SetStep(publish)
		r.opens("/datasets/finance.invoices/2026-11-20")
		r.sees("password authentication failed", "What to do:")
		r.follows(`form[action="/datasets/finance.invoices/days/2026-11-20/retry"] button`, "/datasets/finance.invoices/2026-11-20")
		if len(r.acts.Asked) != 1 || !strings.HasPrefix(r.acts.Asked[0], "retry 20261121t0500-finance by on-call (") {
			r.t.Errorf("done: %q", r.acts.Asked)
		}
	},
	"an admin looks at a rollback, and rolls back": func(r *visitor) {
		r.signsIn("head", elt.Admin)
		r.opens("/datasets/shop.users")
		r.follows(`a.button[href="/datasets/shop.users/rollback"]`, "/datasets/shop.users/rollback")
		r.sees("Roll shop.users back to the data of Thu 19 Nov?", "Nothing has happened yet.", "Days that would be gone", "Fri 20 Nov")
		r.types("[name=reason]", "prices in cents")
		r.follows("button.grave", "/datasets/shop.users")
		if len(r.acts.Asked) != 1 || !strings.HasSuffix(r.acts.Asked[0], "by head ("+r.id("head")+"): prices in cents") {
			r.t.Errorf("done: %q", r.acts.Asked)
		}
	},
	"a person signs out again": func(r *visitor) {
		r.signsIn("analyst", elt.Viewer)
		r.follows(".who button", "/")
		r.sees("Sign in to see the data’s status.")
		r.opens("/datasets/revenue")
		r.sees("Sign in to see the data’s status.")
		if strings.Contains(in[string](r.t, r.tab, `document.body.innerText`), "finance") {
			r.t.Error("who signed out still reads")
		}
	},
}

// id is the public part of the token of that name.
func (r *visitor) id(name string) string {
	tokens, err := r.acts.Tokens(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, token := range tokens {
		if token.Name == name {
			return string(token.ID)
		}
	}
	return ""
}

// Every story is told to its end in a browser with scripts and in one without.
func TestStories(t *testing.T) {
	browser := testenv.Browser(t)
	for name, story := range stories {
		for _, on := range []bool{true, false} {
			t.Run(name+map[bool]string{true: "", false: ", without scripts"}[on], func(t *testing.T) {
				s, acts, _ := serveTokens(t)
				if err := chromedp.Do(browser, scripts(on), testenv.SetView(testenv.Views()[0])); err != nil {
					t.Fatal(err)
				}
				story(&visitor{t: t, tab: browser, url: listen(t, s), s: s, acts: acts, scripts: on})
			})
		}
	}
}

// The keys do what the help says, and leave fields alone.
func TestKeys(t *testing.T) {
	s := serve(t, statustest.Busy())
	browser := testenv.Browser(t)
	testenv.Still(browser, t)
	visit(t, browser, listen(t, s)+"/")
	press := func(key string) {
		t.Helper()
		if err := chromedp.Do(browser, chromedp.KeyEvent(key)); err != nil {
			t.Fatal(err)
		}
	}
	focused := func() string { t.Helper(); return in[string](t, browser, `document.activeElement.textContent`) }
	rows := in[[]string](t, browser, `[...document.querySelectorAll("main .trouble h2 a, main .datasets .name")].map((a) => a.textContent)`)
	press("j")
	press("j")
	if got := focused(); got != rows[1] {
		t.Errorf("j j leads to %q, want %q of %q", got, rows[1], rows)
	}
	press("k")
	if got := focused(); got != rows[0] {
		t.Errorf("k leads back to %q, want %q", got, rows[0])
	}
	press("?")
	if !in[bool](t, browser, `document.querySelector("dialog.keys").open && document.querySelector("dialog.keys").textContent.includes("find a dataset")`) {
		t.Error("? shows no help")
	}
	for _, b := range testenv.Barriers(browser, t) {
		t.Errorf("the help: %s: %q", b.Help, b.Nodes)
	}
	press("\x1b")
	// Chromium's own protocol types a key's letter whatever the page says of the key: only a real one is kept away.
	in[bool](t, browser, `document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true }))`)
	press("j")
	if got := in[string](t, browser, `document.activeElement.name + " " + document.activeElement.value`); got != "q j" {
		t.Errorf("/ and j in the field: %q", got)
	}
}

// What somebody is typing when the page renews itself is still there afterwards.
func TestTypedTextSurvives(t *testing.T) {
	w := statustest.Busy()
	acts := statustest.NewActs(statustest.NewKeys(w.Ledger, w.Now))
	s := serve(t, w, func(o *Options) { o.Public, o.Token, o.Tokens, o.Acts = false, "", acts, acts })
	r := &visitor{t: t, tab: testenv.Browser(t), url: listen(t, s), s: s, acts: acts, scripts: true}
	r.signsIn("on-call", elt.Operator)
	r.opens("/datasets/shop.conversations")
	r.types("[name=text]", "Half a sentence")
	w.Publish(elt.Version{ID: "v", Dataset: "shop.conversations", Date: w.Night, Run: statustest.RunOf("nightly", w.Night), PublishedAt: w.At, Rows: 7, Checks: elt.ChecksPassed})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	const there = headingText + ` === "shop.conversations is complete through Fri 20 Nov." && document.querySelector("[name=text]").value === "Half a sentence" && document.activeElement.name === "text"`
	if _, err := chromedp.Run(r.tab, chromedp.Poll[bool](there, chromedp.WithPollingTimeout(0))); err != nil {
		t.Fatalf("%v: %q", err, in[string](t, r.tab, `document.querySelector("[name=text]").value`))
	}
}
