package notify

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// client says what OpenLineage's own client for Python would not have of the events, a line each.
func client(t *testing.T, events ...[]byte) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.OpenLineage(t), "testdata/lineage_events.py")
	cmd.Stdin = bytes.NewReader(append(bytes.Join(events, []byte("\n")), '\n'))
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &trouble)
	}
	wrong, all := strings.CutSuffix(string(said), fmt.Sprintf("%d events\n", len(events)))
	if !all {
		t.Fatalf("it has not seen %d events: %s", len(events), said)
	}
	return strings.TrimSpace(wrong)
}

// A night's events are what OpenLineage's makers have generated from their specification, not only what this repository believes
// of it: every field, type and facet, in the versions that the events claim. And whatever is not is found.
func TestANightIsWhatTheClientOfOpenLineageKnows(t *testing.T) {
	m := listen(t, status(201))
	m.night(t, "run-1")
	bodies := m.bodies(t, ofANight)
	if wrong := client(t, bodies...); wrong != "" {
		t.Error(wrong)
	}
	var bad [][]byte
	var want []string
	for _, c := range []struct{ old, new, says string }{
		{`"eventType":"START"`, `"eventType":"BEGUN"`, "eventType is not one of"},
		{`"namespace":"shop"`, `"namespaces":"shop"`, "namespaces is no field of Job"},
		{`"nominalTime":`, `"nominal":`, "nominal is a NominalTimeRunFacet"},
		{`/1-0-1/NominalTimeRunFacet`, `/9-0-1/NominalTimeRunFacet`, "nominalTime is no RunFacet"},
		{`"runId":"`, `"runId":"x`, "badly formed"},
	} {
		event := bytes.Replace(bodies[0], []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(event, bodies[0]) {
			t.Fatalf("no event has %s: %s", c.old, bodies[0])
		}
		bad, want = append(bad, event), append(want, c.says)
	}
	found := client(t, bad...)
	for _, says := range want {
		if !strings.Contains(found, says) {
			t.Errorf("what is wrong is not found: %s in\n%s", says, found)
		}
	}
}
