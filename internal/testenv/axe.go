package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

var axeScript = sync.OnceValues(func() (string, error) {
	dir, err := install("axe")
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.js"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("%d versions of axe-core are in %s, %w", len(files), dir, err)
	}
	text, err := os.ReadFile(files[0])
	return string(text), err
})

// Barrier is something on a page that keeps people from using it, as axe-core finds it.
type Barrier struct {
	Rule   string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"` // the elements, and what is wrong with each
}

// Barriers has axe-core look at the page that the tab shows, with every rule of WCAG 2 A and AA and its own best
// practices.
func Barriers(ctx context.Context, t testing.TB) []Barrier {
	t.Helper()
	script, err := axeScript()
	if err != nil {
		t.Fatal(err)
	}
	const ask = `(async () => {
		const found = await axe.run(document, { resultTypes: ["violations"] });
		return JSON.stringify(found.violations.map((v) => ({
			id: v.id, impact: v.impact, help: v.help,
			nodes: v.nodes.slice(0, 5).map((n) => n.target.join(" ") + ": " + n.html.slice(0, 160) + " " + (n.failureSummary || "").slice(0, 300)),
		})));
	})()`
	there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`window.axe !== undefined`))
	if err == nil && !there {
		err = chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](script))
	}
	if err != nil {
		t.Fatalf("load axe-core: %v", err)
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](ask, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("axe-core: %v", err)
	}
	var found []Barrier
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	return found
}
