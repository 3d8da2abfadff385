package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// browserTime is how long a test may use its browser: a page that never shows what is waited for must
// not use up the time of all tests.
const browserTime = 30 * time.Minute

// Browser starts a headless Chromium with an empty profile and returns the context of its one tab, for
// chromedp.Do and chromedp.Run. It ends with the test.
func Browser(t testing.TB) context.Context {
	t.Helper()
	path, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // Chromium's sandbox refuses root, and the pages are our own
		chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true),
		// Otherwise Chromium drops what is typed before it has drawn a page for the first time, which may be long after the page
		// has been loaded.
		chromedp.Flag("allow-pre-commit-input", true),
	)
	allocator, release := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closeTab()
		release()
	})
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	limited, cancel := context.WithTimeout(tab, browserTime)
	t.Cleanup(cancel)
	return limited
}

// View is how a page is looked at.
type View struct {
	Name          string // part of a screenshot's file name
	Width, Height int64  // of the window, in CSS pixels
	Scale         float64
	Dark          bool // what the person prefers
	Phone         bool // with touch, and the page's own viewport setting obeyed
}

// Views are the ways in which every page is looked at.
func Views() []View {
	return []View{
		{Name: "light", Width: 1200, Height: 800, Scale: 1},
		{Name: "dark", Width: 1200, Height: 800, Scale: 1, Dark: true},
		{Name: "phone", Width: 390, Height: 844, Scale: 2, Phone: true},
		{Name: "phone-dark", Width: 390, Height: 844, Scale: 2, Dark: true, Phone: true},
	}
}

// SetView makes the tab look at pages as v says. Motion is reduced, so that two screenshots of one page are equal.
func SetView(v View) chromedp.Action[chromedp.Void] {
	options := []chromedp.EmulateViewportOption{chromedp.EmulateScale(v.Scale)}
	if v.Phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	return chromedp.Steps(
		chromedp.EmulateViewport(v.Width, v.Height, options...),
		chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{
					{Name: "prefers-color-scheme", Value: scheme},
					{Name: "prefers-reduced-motion", Value: "reduce"},
				},
			})
			return err
		}),
	)
}

// Click clicks what the selector finds first, as soon as it is there and nothing covers it. It is found and clicked in one
// turn of the page: a page that renews itself may put another element in its place between two.
func Click(selector string) chromedp.Action[chromedp.Void] {
	return once(selector, `const box = e.getClientRects()[0], on = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
		if (!on || !e.contains(on)) return false;
		e.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, view: window }));
		return true;`)
}

// Type writes into the field that the selector finds first, key by key; whichever then has its place gets what follows.
func Type(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(once(selector, `e.focus(); return document.activeElement === e;`), chromedp.KeyEvent(text))
}

// once does something to an element e, in the page's own language, again until that returns true.
func once(selector, do string) chromedp.Action[chromedp.Void] {
	expression := fmt.Sprintf(`(() => { const e = document.querySelector(%q);
		if (!e || !e.checkVisibility()) return false;
		e.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
		%s })()`, selector, do)
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			if done, err := chromedp.Evaluate[bool](expression)(ctx, target); done || err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s was not there, or covered: %w", selector, ctx.Err())
			case <-again.C:
			}
		}
	})
}

// Still keeps the pages that the tab opens from now on as they came: they ask for nothing more by themselves. That is for
// pictures, and for whoever looks at a page for longer than it takes to renew itself.
func Still(ctx context.Context, t testing.TB) {
	t.Helper()
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `window.fetch = () => new Promise(() => {}); delete window.EventSource;`,
		})
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// Screenshot keeps a picture of the whole page that the tab shows, as v says, in
// artifacts/<name>-<view>.png at the root of the source tree, and returns its path.
func Screenshot(ctx context.Context, t testing.TB, name string, v View) string {
	t.Helper()
	if err := chromedp.Do(ctx, SetView(v)); err != nil {
		t.Fatalf("screenshot %s: %v", name, err)
	}
	return Picture(ctx, t, name+"-"+v.Name)
}

// Picture keeps a picture of the whole page as the tab shows it now, in artifacts/<name>.png, and returns its path.
func Picture(ctx context.Context, t testing.TB, name string) string {
	t.Helper()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("screenshot %s: %v", name, err)
	}
	root, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "artifacts", name+".png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func chromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("this test needs a browser; run: apt-get install -y chromium")
}
