package app

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Globals are the flags that every command takes.
type Globals struct {
	Dir string `short:"C" name:"dir" placeholder:"DIR" help:"The workspace: the folder that holds daybreak.yaml; by default this folder (for demo: ./daybreak-demo)."`
	Log string `enum:"auto,text,json" default:"auto" help:"What is written while it works: progress for people (auto), or log lines (text, json)."`
}

// workspace returns the folder that was named, or the current one.
func (g *Globals) workspace() string { return cmp.Or(g.Dir, ".") }

// Console is where a command writes.
type Console struct {
	Out io.Writer
	Err io.Writer
}

// Terminal reports whether people watch: w is a terminal.
func (c *Console) Terminal() bool {
	f, ok := c.Err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Logger returns the process's logger. In auto mode only warnings are logged: progress has its own display.
func (c *Console) Logger(g *Globals, level slog.Level) *slog.Logger {
	switch g.Log {
	case "json":
		return slog.New(slog.NewJSONHandler(c.Err, &slog.HandlerOptions{Level: slog.LevelInfo}))
	case "text":
		return slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: level}))
}

// Lines returns the logger of a command that runs until it is told to stop: what it does is logged, unless as JSON then as
// text.
func (c *Console) Lines(g *Globals) *slog.Logger {
	if g.Log == "auto" {
		return c.Logger(&Globals{Log: "text"}, slog.LevelInfo)
	}
	return c.Logger(g, slog.LevelInfo)
}

func (c *Console) printf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

// count writes a number with thousands separators: 1,234,567.
func count(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// size writes a number of octets as people say it: 12.3 MB.
func size(n int64) string {
	switch f := float64(n); {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 999_500:
		return fmt.Sprintf("%.0f kB", f/1e3)
	case n < 999_500_000:
		return fmt.Sprintf("%.1f MB", f/1e6)
	default:
		return fmt.Sprintf("%.1f GB", f/1e9)
	}
}

// lasted writes a duration as people say it: 0.4 s, 3 min 20 s, 2 h 05 min.
func lasted(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// day writes a date as people say it: Fri 20 Nov 2026.
func day(d elt.Date) string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format("Mon 2 Jan 2006")
}

// plural writes "1 dataset", "2 datasets".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(int64(n)) + " " + noun + "s"
}
