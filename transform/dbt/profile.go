package dbt

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// profileName is the profile that Daybreak generates; the project's own profiles.yml is not read.
const profileName = "daybreak"

// writeProfile writes profiles.yml. It holds no secret: those reach dbt by its environment.
func (o Options) writeProfile(site string) error {
	output := maps.Clone(o.Builder.Profile())
	for key, value := range o.Profile {
		into, nested := output[key].(map[string]any)
		more, both := value.(map[string]any)
		if nested && both {
			into = maps.Clone(into)
			maps.Copy(into, more)
			value = into
		}
		if own, listed := output[key].([]any); listed { // Daybreak's own entries stay
			if more, both := value.([]any); both {
				value = slices.Concat(own, more)
			}
		}
		output[key] = value
	}
	output["threads"] = max(1, o.Threads)
	b, err := yaml.Marshal(map[string]any{profileName: map[string]any{"target": o.Target, "outputs": map[string]any{o.Target: output}}})
	if err != nil {
		return fmt.Errorf("write dbt's profile: %w", err)
	}
	return writeFile(filepath.Join(site, "profiles.yml"), b)
}

// night is the date that dbt builds, and its window.
type night struct {
	date   elt.Date
	window elt.Window
}

// exampleNight is what templates see while they are parsed: a night like any other.
var exampleNight = night{elt.Date{Year: 2001, Month: time.February, Day: 3}, elt.Date{Year: 2001, Month: time.February, Day: 3}.Window(time.UTC)}

// instant is how the ends of the window are written: an instant to DuckDB and to BigQuery alike.
const instant = "2006-01-02 15:04:05.999999-07:00"

// vars returns dbt's vars: the night's under the names that the native engine has for them, and the workspace's, in
// whose texts those names stand for their values.
func (o Options) vars(n night) map[string]any {
	own := map[string]string{
		"data_date": n.date.String(), "window_start": n.window.From.UTC().Format(instant), "window_end": n.window.To.UTC().Format(instant),
	}
	var pairs []string
	out := make(map[string]any, len(o.Vars)+len(own))
	for name, value := range own {
		out[name] = value
		pairs = append(pairs, "{{ "+name+" }}", value, "{{"+name+"}}", value)
	}
	replacer := strings.NewReplacer(pairs...)
	for name, value := range o.Vars {
		if text, ok := value.(string); ok {
			value = replacer.Replace(text)
		}
		out[name] = value
	}
	return out
}

// args are the arguments with which dbt is called: nothing of its work lands in the project's folder.
func (o Options) args(command, project, site string, n night, more ...string) ([]string, error) {
	vars, err := json.Marshal(o.vars(n))
	if err != nil {
		return nil, fmt.Errorf("write dbt's vars: %w", err)
	}
	return append([]string{
		command, "--no-use-colors", "--log-format", "json", "--log-level", "debug", "--no-send-anonymous-usage-stats",
		"--project-dir", project, "--profiles-dir", site, "--profile", profileName, "--target", o.Target,
		"--target-path", filepath.Join(site, "target"), "--log-path", filepath.Join(site, "logs"), "--vars", string(vars),
	}, more...), nil
}
