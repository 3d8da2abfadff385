package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Rows is about how many rows the production database has unless Options says otherwise.
const Rows = 300_000

// ErrExists is what Create returns, wrapped, when the folder already holds a demo workspace. Nothing was
// changed: go on with the workspace as Open finds it.
var ErrExists = errors.New("the demo workspace is already there")

// Options say what to make.
type Options struct {
	Seed  int64
	Today elt.Date // the data ends with the day before it
	// Zone is the schedule's time zone; nil means UTC. It must have an IANA name.
	Zone *time.Location
	Rows int // about how many rows to make; 0 means Rows
	// Progress is told, while rows are written, how many are and how many there will be; nil for nobody.
	Progress func(done, total int)
}

// Workspace is what the marker of a demo workspace says of it.
type Workspace struct {
	Seed     int64    `json:"seed"`
	Today    elt.Date `json:"today"` // the date on which it was made: its data ends with the day before
	Zone     string   `json:"zone"`
	Rows     int      `json:"rows"`
	Complete bool     `json:"complete"` // false while Create is at work, or was interrupted
}

// marker is the file that makes a folder a demo workspace.
const marker = "demo.json"

// Create makes a demo workspace in dir, which must be absent, empty, or what an interrupted Create left.
// A folder that holds a complete one is left as it is, with ErrExists. Interrupting Create at any moment
// loses nothing: calling it again finishes the work.
func Create(ctx context.Context, dir string, o Options) error {
	switch w, err := Open(dir); {
	case err == nil && w.Complete:
		return fmt.Errorf("%s: %w", dir, ErrExists)
	case err == nil: // interrupted: start over
	case errors.Is(err, os.ErrNotExist):
		if err := vacant(dir); err != nil {
			return err
		}
	default:
		return err
	}
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	about := Workspace{Seed: o.Seed, Today: o.Today, Zone: o.Zone.String(), Rows: o.Rows}
	if err := writeMarker(dir, about); err != nil {
		return err
	}
	w, err := imagine(o.Seed, o.Today, o.Zone, o.Rows)
	if err != nil {
		return err
	}
	if err := buildDatabase(ctx, filepath.Join(dir, "production.db"), w, o.Progress); err != nil {
		return err
	}
	if err := writeFiles(ctx, dir, about); err != nil {
		return err
	}
	about.Complete = true
	return writeMarker(dir, about)
}

// Open reads what dir's marker says; os.ErrNotExist when dir has none.
func Open(dir string) (Workspace, error) {
	b, err := os.ReadFile(filepath.Join(dir, marker))
	if err != nil {
		return Workspace{}, fmt.Errorf("open the demo workspace: %w", err)
	}
	var w Workspace
	if err := json.Unmarshal(b, &w); err != nil {
		return Workspace{}, &elt.Error{
			Code: "demo_marker_broken", Class: elt.Config,
			What: fmt.Sprintf("cannot read %s", filepath.Join(dir, marker)),
			Do:   "remove the folder, or choose another one with --dir", Err: err,
		}
	}
	return w, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if _, err := time.LoadLocation(o.Zone.String()); err != nil || o.Zone == time.Local {
		return o, &elt.Error{
			Code: "demo_zone_unnamed", Class: elt.Config,
			What: fmt.Sprintf("the demo's time zone %q has no IANA name", o.Zone),
			Do:   `use a name such as "Europe/Dublin"`, Err: err,
		}
	}
	if o.Rows == 0 {
		o.Rows = Rows
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	return o, nil
}

// vacant makes sure that dir exists and holds nothing that somebody might miss.
func vacant(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &elt.Error{
			Code: "demo_dir_unusable", Class: elt.Config, What: fmt.Sprintf("cannot make the demo's folder %s", dir),
			Do: "choose a folder that you may write to with --dir", Err: err,
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the demo's folder: %w", err)
	}
	if len(entries) > 0 {
		return &elt.Error{
			Code: "demo_dir_taken", Class: elt.Config,
			What: fmt.Sprintf("%s is not empty and is no demo workspace (it holds %q)", dir, entries[0].Name()),
			Do:   "choose a new folder with --dir",
		}
	}
	return nil
}
