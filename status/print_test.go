package status

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// unprintable lists what is wrong with a page on paper: what only a screen has is there, what is folded up stays so (but for
// the tables that say what a picture shows), the paper is not white, or something reaches over its edge.
const unprintable = `(() => {
  const bad = [];
  for (const e of document.querySelectorAll("nav, input, select, textarea, button, pre"))
    if (e.checkVisibility() && e.getClientRects().length) bad.push("it shows " + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll("details > :not(summary)"))
    if (!e.checkVisibility({ contentVisibilityAuto: true }) && !e.closest(".act, .acts, .find, .snippets, figure")) bad.push("it hides " + e.outerHTML.slice(0, 80));
  const { backgroundColor, color } = getComputedStyle(document.body);
  if (backgroundColor !== "rgb(255, 255, 255)" || color !== "rgb(0, 0, 0)") bad.push("it is " + color + " on " + backgroundColor);
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) bad.push("it is " + over + " pixels too wide");
  return bad;
})()`

// pdfPage is a page in a PDF file.
var pdfPage = regexp.MustCompile(`/Type\s*/Page\b`)

// Pages are printed in black on white, also by somebody who prefers the dark, on as many sheets as they need, with
// nothing cut off, with what was folded up, and without what only a screen has a use for.
func TestPagesArePrinted(t *testing.T) {
	url := listen(t, serve(t, statustest.Busy()))
	browser := testenv.Browser(t)
	testenv.Still(browser, t)
	paper := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		return err
	})
	if err := chromedp.Do(browser, chromedp.EmulateViewport(718, 1047), paper); err != nil { // A4 within a centimetre's margin
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		path   string
		sheets int // at most
	}{
		"overview": {"/", 3},
		"dataset":  {"/datasets/shop.conversations", 2},
		"day":      {"/datasets/finance.invoices/2026-11-20", 2},
		"run":      {"/runs/20261121t0500-nightly", 3},
		"incident": {"/incidents/inc-0007", 2},
		"audit":    {"/audit", 3},
	} {
		visit(t, browser, url+want.path)
		for _, bad := range slices.Concat(in[[]string](t, browser, unprintable), in[[]string](t, browser, weak)) {
			t.Errorf("%s on paper: %s", want.path, bad)
		}
		var printed page.PrintToPDFResult
		err := chromedp.Do(browser, chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
			printed, err = cdp.Call(ctx, target, page.PrintToPDF, page.PrintToPDFParams{PaperWidth: 8.27, PaperHeight: 11.69})
			return err
		}))
		if err != nil {
			t.Fatal(err)
		}
		if sheets := len(pdfPage.FindAll(printed.Data, -1)); sheets < 1 || sheets > want.sheets {
			t.Errorf("%s takes %d sheets", want.path, sheets)
		}
		keep(t, "printed-"+name+".pdf", printed.Data)
	}
}

// keep writes a file among the pictures of pages.
func keep(t *testing.T, name string, content []byte) {
	t.Helper()
	dir := filepath.Join("..", "artifacts", "status")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}
